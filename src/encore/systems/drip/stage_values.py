"""The values of one drip training stage: how many classes, from which weights, and when it ends."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Optional

from encore.runtime.parameters import from_mapping, limited
from encore.runtime.refusal import Refusal

START = "start"
"""`from` of a first stage: the pretrained backbone."""
KERNELS = ("centroids", "random")
PARAMETER_FILE_KEY, KEY = "from", "from_"
"""The key in a parameter file, and the field, since `from` is a word of Python."""


@dataclass(frozen=True)
class StopRule:
    """When a stage ends. Published: by hand, at a validation loss below 1 or a training loss below 2 (the
    same event, since the one has an easier view in it); the trainer itself goes on for 1,000 epochs."""

    val_loss: Optional[float] = limited(None, low=0)
    """Ends after an epoch with less; null: not looked at."""
    trn_loss: Optional[float] = limited(None, low=0)
    """The same of the training loss; either suffices."""
    min_epochs: int = limited(1, low=1)
    """Losses are looked at from here on (published trainer: 500, so never)."""
    max_epochs: int = limited(1000, low=1)

    def __post_init__(self):
        if self.min_epochs > self.max_epochs:
            raise Refusal(
                "min_epochs must be max_epochs at most, found %d and %d" % (self.min_epochs, self.max_epochs)
            )

    def ends(self, epochs, trn_loss, val_loss):
        """Whether a stage with so many epochs done, the last one of these losses, is over."""
        if epochs >= self.max_epochs:
            return True
        return epochs >= self.min_epochs and (
            (self.val_loss is not None and val_loss < self.val_loss)
            or (self.trn_loss is not None and trn_loss < self.trn_loss)
        )


@dataclass(frozen=True)
class DripStageValues:
    """One stage; the defaults are those of the published trainer's flags."""

    from_: str = START
    """The stage whose newest checkpoint gives the weights, or "start". In a parameter file: `from`."""
    n_facebook_samples: int = limited(5000, low=0)
    """Classes that are training pictures, T000000 on."""
    n_imagenet_samples: int = limited(0, low=0)
    n_frm_face_samples: int = limited(0, low=0)
    batch_size: int = limited(160, low=1)
    qry_augs_intensity: float = limited(0.75, low=0, high=1)
    kernel: str = limited("centroids", choices=KERNELS)
    """What the columns of the classes start as. random: what they would be without the method, for
    comparison; it is so in any case where `from` is "start", as published."""
    stop: StopRule = field(default_factory=StopRule)

    def __post_init__(self):
        if not self.classes:
            raise Refusal(
                "n_facebook_samples, n_imagenet_samples and n_frm_face_samples: all 0: ask for classes"
            )

    @property
    def classes(self):
        """C: one a picture."""
        return self.n_facebook_samples + self.n_imagenet_samples + self.n_frm_face_samples

    @property
    def steps(self):
        """Of an epoch: the last batch holds the rest."""
        return math.ceil(self.classes / self.batch_size)

    @property
    def makes_centroids(self):
        """Whether the kernel is set from the embeddings of the stage before."""
        return self.kernel == "centroids" and self.from_ != START

    @property
    def is_control(self):
        """Whether the stage goes without the method: trained weights, but random columns for its classes."""
        return self.from_ != START and not self.makes_centroids

    @property
    def conditions(self):
        """What a stage and its control share."""
        samples = self.n_facebook_samples, self.n_imagenet_samples, self.n_frm_face_samples
        return (self.from_,) + samples + (self.batch_size, self.qry_augs_intensity)

    @property
    def folder_name(self):
        """The published name of the folder that a stage writes by hand."""
        return "TEST26_%dk_nobias_l1" % (self.classes // 1000)

    def recorded(self):
        """As the parameter file has it: plain values under its own keys."""
        values = dataclasses.asdict(self)
        values[PARAMETER_FILE_KEY] = values.pop(KEY)
        return values


def read_stage(path, name):
    """The DripStageValues of the section drip.stages.<name> of a parameter file; Refusal naming file and
    key."""
    stages = read_stages(path)
    if name not in stages:
        raise Refusal("{}: drip.stages.{}: missing; there are {}".format(path, name, ", ".join(stages)))
    return stages[name]


def read_stages(path):
    """Name -> DripStageValues of all stages of a parameter file, in its order.

    Refusal, naming file and key, for values that do not fit, for a `from` that is neither "start" nor a stage
    above its own, and for a control without its stage.
    """
    import yaml

    try:
        with open(str(path), encoding="utf-8") as file:
            section = yaml.safe_load(file)["drip"]["stages"]
        stages = {str(name): stage_of(values, _where(path, name)) for name, values in section.items()}
    except OSError:
        raise Refusal(
            "{}: no such parameter file: run in the folder of dvc.yaml or pass --params".format(path)
        ) from None
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise Refusal("{}: the section drip.stages, names with values, is missing".format(path)) from None
    known = [START]
    for name, values in stages.items():
        if values.from_ not in known:
            raise Refusal(
                "{}.from: expected one of {}, which come before it, found {}".format(
                    _where(path, name), ", ".join(known), values.from_
                )
            )
        known.append(name)
    compared_pair(stages, path)
    return stages


def compared_pair(stages, path):
    """(stage with centroids, its control) by name: the first control of `stages`, and the stage that differs
    from it by its kernel alone; control None where there is none, both where no stage has centroids.

    Refusal, naming file and key, for a control without such a stage.
    """
    with_centroids = [name for name, values in stages.items() if values.makes_centroids]
    controls = [name for name, values in stages.items() if values.is_control]
    if not controls:
        return (with_centroids or [None])[0], None
    for name in with_centroids:
        if stages[name].conditions == stages[controls[0]].conditions:
            return name, controls[0]
    raise Refusal(
        "{}: kernel random is the control of a stage with the same from, samples, batch_size and "
        "qry_augs_intensity, found none: give it the values of that stage, or leave it out".format(
            _where(path, controls[0])
        )
    )


def stage_of(mapping, where):
    """The DripStageValues of a mapping with the keys of a parameter file; `where` names it in errors."""
    if isinstance(mapping, dict):
        if KEY in mapping:
            raise Refusal("{}.{}: unknown key; write {}".format(where, KEY, PARAMETER_FILE_KEY))
        mapping = {KEY if key == PARAMETER_FILE_KEY else key: value for key, value in mapping.items()}
    return from_mapping(DripStageValues, mapping, where)


def _where(path, name):
    return "{}: drip.stages.{}".format(path, name)
