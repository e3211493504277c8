"""The published configuration, `model_config.py`, as data."""

from __future__ import annotations

import ast
import os
from typing import NamedTuple, Optional

from encore.runtime.bounded_file import read_bounded
from encore.runtime.refusal import Refusal, brief
from encore.runtime.yaml_limits import BAD_VALUE, read_yaml_text


class ModelConfig(NamedTuple):
    """What a configuration says, each part under our names."""

    recipe: dict
    """Of DripRecipe."""
    stage: dict
    """Of DripStageValues."""
    network: dict
    """Of NetworkShape."""
    places: dict
    """Of Places."""
    start_ckpt: Optional[str] = None
    build_w_matrix: bool = False
    pretrained: bool = True


NO_CONFIG = ModelConfig({}, {}, {}, {})
RECIPE = {
    "N_WORKERS": "workers",
    "img_norm_type": "img_norm_type",
    "init_lr": "init_lr",
    "scheduler_name": "scheduler_name",
    "sched_factor": "sched_factor",
    "sched_patience": "sched_patience",
    "n_warmup_epochs": "n_warmup_epochs",
    "n_decay_epochs": "n_decay_epochs",
    "lr_prop": "lr_prop",
    "clip_grad_norm": "clip_grad_norm",
    "weight_decay": "weight_decay",
    "arc_weight_decay": "arc_weight_decay",
    "do_ref_trn": "do_ref_trn",
    "ref_trn_n_epochs": "ref_trn_n_epochs",
    "arc_m": "arc_m",
    "arc_s": "arc_s",
    "precision": "precision",
    "seed": "seed",
}
"""Published name -> field of DripRecipe."""
OWN_RECIPE = (
    "limit_val_batches",
    "w_passes",
    "w_batch",
    "w_chunk",
    "text_layout",
    "max_raised",
    "save_top_k",
)
OWN_RECIPE += ("save_every", "print_every", "keep_bytes", "processes")
"""Fields without a published name, taken under their own."""
STAGE = {
    "BATCH_SIZE": "batch_size",
    "QRY_AUGS_INTENSITY": "qry_augs_intensity",
    "n_facebook_samples": "n_facebook_samples",
    "n_imagenet_samples": "n_imagenet_samples",
    "n_frm_face_samples": "n_frm_face_samples",
}
NETWORK = {
    "backbone_name": "backbone",
    "embedding_size": "embedding",
    "neck_type": "neck",
    "GeM_p": "gem_p",
    "width": "width",
    "layers": "layers",
    "small_stem": "small_stem",
    "groups": "groups",
}
"""The last four are ours, for the backbone resnet."""
PLACES = {
    "DS_DIR": "pictures",
    "ImgNet_SAMPLES": "imagenet_ids",
    "FrmFaces_SAMPLES": "face_ids",
    "templates": "templates",
}
FIXED = {
    "use_scheduler": True,
    "optimizer_name": "adam",
    "n_steps_grad_update": 1,
    "criterion_name": "arcface",
    "arc_bottleneck": None,
    "arc_optimizer": None,
    "use_GeM": True,
    "GeM_opt_p": True,
    "eps": 1e-6,
}
"""Values that the published models share, and that are the only ones here."""
WITHOUT_EFFECT = (
    "BACKBONE_GPUS",
    "DATASET_WH",
    "DS_INPUT_DIR",
    "model_name",
    "accelerator",
    "checkpoint_base_path",
    "arc_classnum",
    "arc_devices_v",
    "arc_w_prop_v",
)
"""The published trainer overwrites them, or they say where and on which devices it runs."""
LONGEST_LINE = 4096
LARGEST = 1 << 18
"""Bytes: 256 KiB, ten times a published configuration."""
MOST_VALUES = 4096
"""Of a YAML file; a configuration has about fifty."""
SIDES = ("OUTPUT_WH", "model_resolution")
START = ("start_ckpt", "build_w_matrix", "pretrained_bb")
KNOWN = {*RECIPE, *OWN_RECIPE, *STAGE, *NETWORK, *PLACES, *FIXED, *WITHOUT_EFFECT, *SIDES, *START}
COMPUTED = object()
"""Stands for a value that is not written down."""


def read_model_config(path):
    """The ModelConfig of a published `model_config.py`, which is read and never run, or of a YAML file with
    the same names.

    Of a module: the literal values assigned at its head and in its last class; what is computed there (paths,
    the number of classes, lists of ids that it loads) is passed over where it has no effect, and refused
    elsewhere. Refusal naming file and name for an unknown name and a value that is not to be had here.
    """
    values = _python(path) if os.fspath(path).endswith(".py") else _yaml(path)
    parts = {"recipe": {}, "stage": {}, "network": {}, "places": {}}
    tables = {"recipe": dict(RECIPE, **{name: name for name in OWN_RECIPE}), "stage": STAGE}
    tables.update(network=NETWORK, places=PLACES)
    for name, value in values.items():
        if name in WITHOUT_EFFECT or (value is COMPUTED and name in PLACES):
            continue
        if value is COMPUTED:
            raise Refusal("{}: {}: computed, and nothing is run here: write its value".format(path, name))
        if name in FIXED:
            _refuse_other(path, name, value)
            continue
        if name in SIDES:
            parts["recipe"]["size"] = _side(path, name, value, parts["recipe"].get("size"))
            continue
        part = next((part for part, table in tables.items() if name in table), None)
        if part is None and name not in START:
            raise Refusal("{}: {}: unknown name; leave it out".format(path, name))
        if part is not None and not (name == "seed" and value is None):  # published: drawn
            parts[part][tables[part][name]] = value
    return ModelConfig(
        start_ckpt=_of_type(path, values, "start_ckpt", (str, type(None)), None),
        build_w_matrix=_of_type(path, values, "build_w_matrix", (bool,), False),
        pretrained=_of_type(path, values, "pretrained_bb", (bool,), True),
        **parts,
    )


def _of_type(path, values, name, kinds, default):
    value = values.get(name, default)
    if not isinstance(value, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise Refusal("{}: {}: expected {}, found {}".format(path, name, names, brief(value)))
    return value


def _refuse_other(path, name, value):
    if value != FIXED[name]:
        raise Refusal(
            "{}: {}: expected {!r}, as in all published models, found {!r}: leave it out".format(
                path, name, FIXED[name], value
            )
        )


def _side(path, name, value, before):
    sides = list(value) if isinstance(value, (list, tuple)) else [value]
    if len(sides) != 2 or sides[0] != sides[1] or (before is not None and sides[0] != before):
        raise Refusal(
            "{}: {}: expected two equal sides, the same for {}, found {!r}".format(
                path, name, " and ".join(SIDES), value
            )
        )
    return sides[0]


def _yaml(path):
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        values = yaml.load(read_yaml_text(path, loader, LARGEST, MOST_VALUES), loader)
    except OSError as error:
        raise _unreadable(path, error) from None
    except (yaml.YAMLError,) + BAD_VALUE as error:
        raise Refusal("{}: not valid YAML: {}".format(path, " ".join(str(error).split()))) from None
    if not isinstance(values, dict):
        raise Refusal("{}: expected names and values, found {}".format(path, brief(values)))
    return {str(name): value for name, value in values.items()}


def _python(path):
    text = _text(path)
    if max(map(len, text.splitlines()), default=0) > LONGEST_LINE:  # below what Python's parser has room for
        raise Refusal("{}: a line of more than {} characters: write it on several".format(path, LONGEST_LINE))
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise Refusal("{}: not valid Python: {}".format(path, error)) from None
    classes = [node for node in module.body if isinstance(node, ast.ClassDef)]
    values = _assigned_in(module.body)
    if classes:  # what else stands beside the class is for its own expressions
        values = {name: value for name, value in values.items() if name in KNOWN}
        values.update(_assigned_in(classes[-1].body))
    return values


def _assigned_in(statements):
    """Name -> literal value, or COMPUTED."""
    values = {}
    for name, value in (pair for node in statements for pair in _assigned(node)):
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, TypeError, MemoryError, RecursionError):
            values[name] = COMPUTED
    return values


def _assigned(node):
    """(name, expression) of what a statement assigns."""
    if isinstance(node, ast.Assign):
        return [(target.id, node.value) for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name):
        return [(node.target.id, node.value)]
    return []


def _text(path):
    try:
        return read_bounded(os.fspath(path), LARGEST).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path, error):
    return Refusal("{}: cannot be read ({}): mend the path".format(path, error))
