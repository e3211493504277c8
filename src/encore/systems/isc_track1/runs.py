"""The 36 training runs of Track 1: 11 data sets and the pairs, each with 3 backbones (training 3.1)."""

from __future__ import annotations

import dataclasses
import os
from typing import NamedTuple

from encore.models.isc_network import IscShape
from encore.models.resnet import RESNET50_LAYERS, RESNET152_LAYERS
from encore.runtime.parameters import limited, read_parameters
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.systems.isc.recipe import TrainingRecipe
from encore.systems.isc.training_command import TrainingScript
from encore.systems.isc.training_stage import TrainingJob
from encore.systems.isc_track1.backbones import Backbone, backbone_of, network_shape, start_weights_path
from encore.systems.isc_track1.data_sets import BASELINE_PAIR, PAIR, data_set_of, training_set_folder
from encore.systems.isc_track1.groups import weights_path

SYSTEM = "isc_track1"
LOGS = "models/isc_track1/logs"
PUBLISHED_SHAPES = {
    "resnet50": IscShape(RESNET50_LAYERS, matrix=None),
    "resnet152": IscShape(RESNET152_LAYERS, matrix=None),
    "resnet_ibn50a": IscShape(RESNET50_LAYERS, matrix=None, ibn=True),
}


@dataclasses.dataclass(frozen=True)
class PairTraining:
    """The section `isc_track1.train_pairs`: where the pair models' recipe differs."""

    iterations: int = limited(low=1)
    """Steps per epoch (published: 800 instead of 8,000)."""


class TrainingRun(NamedTuple):
    """One run: a tag and a backbone."""

    tag: str
    backbone: Backbone

    @property
    def pair(self):
        """Whether this is a pair model: trained on `pairs`, pictures resized only."""
        return self.tag.endswith(PAIR)

    @property
    def data_set(self):
        """Published name of its data set (`-ds`)."""
        return "pairs" if self.pair else data_set_of(self.tag).name

    @property
    def logs(self):
        """Folder of its checkpoints and log: `logs/<tag>/<backbone>`, published for pair models as
        `logs/baseline_CC/<backbone>_pair`."""
        return os.path.join(LOGS, self.tag, self.backbone.name)

    @property
    def script(self):
        """The published script of this run; its `-ds` and `-a` can only name what the run trains on."""
        return TrainingScript(
            (self.data_set,),
            {self.backbone.arch: PUBLISHED_SHAPES[self.backbone.arch]},
            # Published quirk: the main script ignores --resume, the one of the pair models honours it.
            () if self.pair else ("resume",),
        )

    def job(self, groups, path=None):
        """The TrainingJob of this run.

        groups: those of the test, by which the stripped weights lie. path: the parameter file, to record it.
        """
        name = self.backbone.name
        item = "{}-{}".format(self.tag, name)
        return TrainingJob(
            system=SYSTEM,
            data=training_set_folder(self.tag),
            start=start_weights_path(name),
            output=self.logs,
            stripped=weights_path(self.tag, name, groups),
            curves=os.path.join("plots", SYSTEM, "loss", item + ".csv"),
            section=path and dataclasses.asdict(read_parameters(path, SYSTEM + ".train", TrainingRecipe)),
            others=path and self.pair and {"train_pairs": dataclasses.asdict(self._pairs(path))} or None,
            item=item,
            script=self.script,
        )

    def _pairs(self, path):
        return read_parameters(path, SYSTEM + ".train_pairs", PairTraining)

    def recipe(self, path):
        """The TrainingRecipe of this run from the sections `train`, `train_pairs` and `networks` of the
        parameter file; each run has a seed of its own."""
        recipe = read_parameters(path, SYSTEM + ".train", TrainingRecipe)
        if recipe.shape != IscShape():
            raise Refusal(
                "{}: {}.train.shape: the network's shape belongs in {}.networks".format(path, SYSTEM, SYSTEM)
            )
        changes = {}
        if self.pair:
            changes = {"plain": True, "iterations": self._pairs(path).iterations}
        return dataclasses.replace(
            recipe,
            system=SYSTEM,
            shape=network_shape(path, self.backbone.name),
            seed=derive_seed(recipe.seed, SYSTEM, "train", self.tag, self.backbone.name),
            **changes,
        )


def run_of(tag, backbone):
    """The TrainingRun of a tag and a backbone; Refusal for names that are not published."""
    if tag.endswith(PAIR) and tag != BASELINE_PAIR:
        raise Refusal("{}: the only pair models are {}".format(tag, BASELINE_PAIR))
    data_set_of(tag)
    return TrainingRun(tag, backbone_of(backbone))
