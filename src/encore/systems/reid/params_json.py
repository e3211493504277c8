"""A params.json of the published trainer as a frozen value, read and checked to the last key."""

from __future__ import annotations

import dataclasses

from encore.runtime.parameters import from_mapping
from encore.runtime.refusal import Refusal
from encore.systems.reid import evaluators, known_keys
from encore.systems.reid.json_object import read_json, refuse_no_object
from encore.systems.reid.param_blocks import (
    MODELS,
    NAMINGS,
    SOFT_MARGIN,
    AngularSoftmax,
    BatchSampling,
    DataAugmentation,
    EvaluationParams,
    LearningRates,
    ModelParams,
    OwnKeys,
    Teacher,
    TripletParams,
)
from encore.systems.reid.reid_params import ReidParams

__all__ = [
    "BLOCKS_ALONE",
    "MODELS",
    "NAMINGS",
    "OPTIMIZERS",
    "SOFT_MARGIN",
    "AngularSoftmax",
    "BatchSampling",
    "DataAugmentation",
    "EvaluationParams",
    "LearningRates",
    "ModelParams",
    "OwnKeys",
    "ReidParams",
    "Teacher",
    "TripletParams",
    "blocks_from",
    "params_from",
    "read_params_json",
]
OPTIMIZERS = ("sgd", "nesterov", "adam", "amsgrad", "rmsprop")
"""By name; any other text is plain SGD (published)."""
BLOCKS_ALONE = {
    "data_augmentation": DataAugmentation,
    "evaluation_params": EvaluationParams,
    "asoftmax_params": AngularSoftmax,
}
"""Blocks that can be read without the others."""


def read_params_json(path):
    """As params_from, of a JSON file, with a warning for each missing key of which the published code has
    another idea; Refusal naming file and key for what is not JSON, stands there twice, or is wrong."""
    mapping = read_json(path)
    params, warnings = params_from(mapping, path)
    others = known_keys.otherwise_published(mapping, params.as_mapping())
    return params, warnings + [_line(path, warning) for warning in others]


def params_from(mapping, where):
    """The (ReidParams, warnings: one line each) of a mapping with the keys of a params.json; what it leaves
    out has the shipped value of its state. `where` names it in errors and warnings ("params.yaml:
    reid.runs.plain")."""
    try:
        refuse_no_object(mapping)
        params, warnings = _read(mapping)
    except Refusal as error:
        raise Refusal(_line(where, str(error).lstrip(".: "))) from None
    return params, [_line(where, warning) for warning in warnings]


def blocks_from(mapping, where):
    """(name -> value, warnings) of those of the blocks data_augmentation, evaluation_params and
    asoftmax_params, as state H has them, that a mapping holds (null: none); what a block leaves out has the
    default of its class. For files that are no params.json; errors and warnings as of params_from."""
    try:
        held = {name: mapping[name] for name in BLOCKS_ALONE if mapping.get(name) is not None}
        values, _, warnings = known_keys.separate_unknown(held)
        for path in known_keys.UNUSED:
            known_keys.drop(values, path)
        warnings += _shape_augmentation(values, "H")
        _shape_lists(values, "H")
        _shape_texts(values)
        blocks = {name: from_mapping(BLOCKS_ALONE[name], value, name) for name, value in values.items()}
    except Refusal as error:
        raise Refusal(_line(where, str(error))) from None
    return blocks, [_line(where, warning) for warning in warnings]


def _line(where, text):
    return "{}: {}".format(where, " ".join(text.split()))


def _read(mapping):
    values, unknown, warnings = known_keys.separate_unknown(mapping)
    warnings += known_keys.resolve_aliases(values)
    state = known_keys.state_of(values)
    _refuse_gan(values)
    for path in known_keys.ONLY_H if state == "S" else ():
        if known_keys.given(values, path):
            known_keys.drop(values, path)
            warnings.append("{}: without effect, state S has no such key".format(path))
    for path in known_keys.UNUSED:
        known_keys.drop(values, path)
    known_keys.complete(values, state)
    warnings += _shape_augmentation(values, state)
    margin = _triplet_margin(values)
    _shape_lists(values, state)
    _shape_texts(values)
    params = from_mapping(ReidParams, dict(values, state=state), "")
    triplet = dataclasses.replace(params.tri_loss_params, margin=margin)
    params = dataclasses.replace(params, tri_loss_params=triplet, unknown=unknown)
    return params, warnings + _quirks(params)


def _refuse_gan(values):
    block = values.get("gan_params", {})
    size = block.get("input_dim", 0) if isinstance(block, dict) else block
    if isinstance(size, bool) or size != 0:
        raise Refusal(
            "gan_params.input_dim: expected 0, found {!r}: training with a GAN is not part of this package, "
            "leave gan_params out".format(size)
        )


def _shape_augmentation(values, state):
    """The two published spellings of the colour jitter become one field; in S cropping has no effect."""
    block = values.get("data_augmentation")
    if not isinstance(block, dict):
        return []
    warnings = []
    for name in ("colour_jiterring", "colour_jitering"):
        value = block.pop(name, False)
        if not isinstance(value, bool):
            raise Refusal("data_augmentation.{}: expected true or false, found {!r}".format(name, value))
        block["colour_jitter"] = value or block.get("colour_jitter", False)
        if value and name == "colour_jitering":
            warnings.append("data_augmentation.colour_jitering: on; the published code never read this name")
    for name in ("crop_h", "crop_w") if state == "S" else ():
        if block.get(name, 0) != 0:
            warnings.append("data_augmentation.{}: without effect in state S".format(name))
            block[name] = 0
    return warnings


def _triplet_margin(values):
    """Take the margin out of its block: None where 0, null or a negative number stands (published)."""
    margin = known_keys.drop(values, "tri_loss_params.margin")
    if margin is None or margin == SOFT_MARGIN:
        return margin
    if isinstance(margin, bool) or not isinstance(margin, (int, float)):
        raise Refusal(
            'tri_loss_params.margin: expected a number, "{}" or null, found {!r}'.format(SOFT_MARGIN, margin)
        )
    return float(margin) if margin > 0 else None


def _shape_lists(values, state):
    """One published key holds a number in one case and a list in the other."""
    rates = values.get("lr")
    if isinstance(rates, dict) and "decay_step" in rates:
        steps = rates["decay_step"]
        if isinstance(steps, (list, tuple)) != (state == "H"):
            expected = "a list of epochs" if state == "H" else "one whole number"
            raise Refusal(
                "lr.decay_step: expected {}, as state {} has it, found {!r}: change either".format(
                    expected, state, steps
                )
            )
        rates["decay_step"] = steps if state == "H" else [steps]
    angular = values.get("asoftmax_params")
    if isinstance(angular, dict) and "margin" in angular:
        margin = angular["margin"]
        if isinstance(margin, bool) or not (margin == 0 or (isinstance(margin, (list, tuple)) and margin)):
            raise Refusal(
                "asoftmax_params.margin: expected 0 or a list of margins, found {!r}: write [{!r}]".format(
                    margin, margin
                )
            )
        angular["margin"] = margin or []


def _shape_texts(values):
    """Texts for which null, or the text None, means nothing."""
    evaluation = values.get("evaluation_params")
    if isinstance(evaluation, dict) and evaluation.get("type") in ("None", ""):
        evaluation["type"] = None
    for name in ("pretrain_snapshot", "batches_dir", "working_dir"):
        if name in values and values[name] is None:
            values[name] = ""


def _quirks(params):
    """Warnings of what the published code does with valid values, unasked."""
    warnings = []
    triplet, kind, own = params.tri_loss_params, params.evaluation_params.type, params.encore
    if evaluators.alias_of(kind, own.evaluators):
        warnings.append("evaluation_params.type: {}: read as {}".format(kind, evaluators.ALIASES[kind]))
    if params.optimizer not in OPTIMIZERS:
        warnings.append(
            "optimizer: {!r} is none of {}: plain SGD is used, as published".format(
                params.optimizer, ", ".join(OPTIMIZERS)
            )
        )
    if triplet.margin is not None and "tri_loss" not in params.losses:
        warnings.append(
            "tri_loss_params.margin: no triplet loss, state H wants batch_sampling_params.class_balanced and "
            "lambda_tri above 0 (published)"
        )
    if params.state == "H" and "tri_loss" not in params.losses and triplet.lambda_cls == 0:
        warnings.append(
            "tri_loss_params.lambda_cls: 0, and state H multiplies the cross-entropy by it: nothing is learnt"
        )
    if params.state == "S" and params.pk and params.encore.max_iterations is None:
        warnings.append(
            "epochs: with class-balanced batches in state S the published run never ends; this one does "
            "after {} passes, or encore.max_iterations".format(params.epochs)
        )
    return warnings
