"""All values of a params.json together, and what follows from them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Mapping, Tuple

from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.systems.reid import known_keys
from encore.systems.reid.param_blocks import (
    STATES,
    AngularSoftmax,
    BatchSampling,
    DataAugmentation,
    EvaluationParams,
    LearningRates,
    ModelParams,
    OwnKeys,
    TripletParams,
)

SMALLEST_PERIOD = 2000
"""Iterations that decay_step must exceed in state S with class-balanced batches (published assertion)."""


@dataclass(frozen=True)
class ReidParams:
    """All of a params.json as it takes effect; the defaults are those of the shipped file of state S.

    Refusal for values that do not go together.
    """

    state: str = limited("S", choices=STATES)
    batch_sampling_params: BatchSampling = BatchSampling()
    batches_dir: str = ""
    data_augmentation: DataAugmentation = DataAugmentation()
    epochs: int = limited(30, low=1)
    imagenet_pretrain: bool = True
    img_h: int = limited(384, low=1)
    img_w: int = limited(128, low=1)
    lr: LearningRates = LearningRates()
    model_params: ModelParams = ModelParams()
    optimizer: str = "sgd"
    parallels: Tuple[int, ...] = limited((0, 1), low=0)
    pretrain_snapshot: str = ""
    weight_decay: float = limited(4e-5, low=0)
    fine_tune: bool = False
    evaluation_params: EvaluationParams = EvaluationParams()
    working_dir: str = ""
    tri_loss_params: TripletParams = TripletParams()
    asoftmax_params: AngularSoftmax = AngularSoftmax()
    focal_loss: bool = False
    num_preprocess_workers: int = limited(4, low=0)
    encore: OwnKeys = OwnKeys()
    unknown: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Keys that nothing here reads, by their dotted path; evaluators get them."""

    def __post_init__(self):
        object.__setattr__(self, "encore", dataclasses.replace(self.encore, state=self.state))
        if not self.parallels or len(set(self.parallels)) < len(self.parallels):
            raise Refusal(
                "parallels: expected different devices, at least one, found {}".format(list(self.parallels))
            )
        if self.tri_loss_params.margin is not None and self.pk and self.batch_sampling_params.P < 2:
            raise Refusal("batch_sampling_params.P: expected 2 or more for the triplet loss, found 1")
        if self.state == "S":
            self._check_first_state()
        else:
            self._check_crop()

    @property
    def pk(self):
        """Whether a batch is P identities with K pictures each."""
        balanced = self.batch_sampling_params.class_balanced
        return balanced or (self.state == "S" and self.tri_loss_params.margin is not None)

    @property
    def batch(self):
        """Pictures of a training batch on all devices together."""
        sampling = self.batch_sampling_params
        return sampling.P * sampling.K if self.pk else sampling.batch_size * len(self.parallels)

    @property
    def losses(self):
        """Names of the losses that are on, of "tri_loss" and "xent_loss"."""
        triplet = self.tri_loss_params
        on = triplet.margin is not None
        if self.state == "H":  # published
            on = on and self.batch_sampling_params.class_balanced and triplet.lambda_tri > 0
        if not on:
            return ("xent_loss",)
        return ("tri_loss", "xent_loss") if triplet.lambda_cls > 0 else ("tri_loss",)

    def as_mapping(self):
        """A plain dict under the published names, fit for JSON, that `params_from` reads as an equal value;
        keys that the state does not have are left out, unknown ones are where they were."""
        values = {item.name: _plain(getattr(self, item.name)) for item in dataclasses.fields(self)}
        del values["state"], values["unknown"]
        if self.encore.replicas is None:  # as in runs made before there was this key, which go on
            del values["encore"]["replicas"]
        augmentation = values["data_augmentation"]
        augmentation["colour_jiterring"] = augmentation.pop("colour_jitter")
        values["tri_loss_params"]["margin"] = values["tri_loss_params"]["margin"] or 0
        values["asoftmax_params"]["margin"] = values["asoftmax_params"]["margin"] or 0
        if self.state == "S":
            values["lr"]["decay_step"] = self.lr.decay_step[0]
            for path in known_keys.ONLY_H:
                known_keys.drop(values, path)
        for path, value in self.unknown.items():
            block, _, name = path.rpartition(".")
            (values.setdefault(block, {}) if block else values)[name] = value
        return values

    def _check_first_state(self):
        for path in known_keys.ONLY_H:
            value, usual = _at(self, path), _at(ReidParams, path)
            if value != usual:
                raise Refusal("{}: state S has no such key, found {!r}: leave it out".format(path, value))
        steps = self.lr.decay_step
        if len(steps) != 1 or steps[0] < 1:
            raise Refusal(
                "lr.decay_step: expected one number from 1 in state S, found {}".format(list(steps))
            )
        if self.pk and steps[0] <= SMALLEST_PERIOD:
            raise Refusal(
                "lr.decay_step: expected more than {} in state S with class-balanced batches, which count "
                "iterations, found {}".format(SMALLEST_PERIOD, steps[0])
            )

    def _check_crop(self):
        """Published: both lengths above 0 switch crop and padding on."""
        values = self.data_augmentation
        padded = values.padding_h > 0 and values.padding_w > 0
        if not (values.crop_h > 0 and values.crop_w > 0):
            return
        for name in ("h", "w"):
            side = getattr(self, "img_" + name) + 2 * padded * getattr(values, "padding_" + name)
            crop = getattr(values, "crop_" + name)
            if crop > side:
                raise Refusal(
                    "data_augmentation.crop_{0}: expected at most {1}, img_{0} with padding, found {2}: "
                    "lower it or set it to 0".format(name, side, crop)
                )


def _at(value, path):
    """What stands at a dotted path of a params' attributes; None for a key without an effect on any run."""
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


def _plain(value):
    """Values and blocks as JSON has them."""
    if dataclasses.is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    return [_plain(entry) for entry in value] if isinstance(value, tuple) else value
