"""What the published training command line (`-ds isc_100k_256 -a resnet50 …`) means for a run."""

from __future__ import annotations

import dataclasses
import os
from typing import NamedTuple, Optional

from encore.models.isc_network import IscShape
from encore.runtime.refusal import Refusal
from encore.systems.isc.recipe import TrainingRecipe

DATA_SETS = ("isc_100k_256",)
BACKBONES = {"resnet50": IscShape()}
RECIPE_KEYS = (
    "batch",
    "workers",
    "height",
    "width",
    "instances",
    "learning_rate",
    "epochs",
    "iterations",
    "print_every",
)


class TrainingCommand(NamedTuple):
    """A run as the command line asks for it."""

    recipe: TrainingRecipe
    data: str
    """Folder of the training set: ours, or the published layout `<data-dir>/<name>/<name>`."""
    logs: Optional[str]
    """Folder that `--logs-dir` names; None: the stage's own output."""
    resume: Optional[str]
    auto_resume: bool


def training_command(recipe, chosen, data):
    """`recipe` and the training set `data` with the published flags `chosen` (key -> value) applied.

    Raises Refusal for a data set or backbone that this system does not train on.
    """
    name = chosen.get("dataset", DATA_SETS[0])
    if name not in DATA_SETS:
        raise Refusal("-ds {}: expected {}".format(name, " or ".join(DATA_SETS)))
    if "data_dir" in chosen:
        data = os.path.join(chosen["data_dir"], name)
        nested = os.path.join(data, name)
        data = nested if os.path.isdir(nested) else data
    changes = {key: chosen[key] for key in RECIPE_KEYS if key in chosen}
    if "margin" in chosen:
        changes["loss"] = dataclasses.replace(recipe.loss, margin=chosen["margin"])
    if "arch" in chosen:
        changes["shape"] = _with_backbone(recipe.shape, chosen["arch"])
    return TrainingCommand(
        dataclasses.replace(recipe, **changes),
        data,
        chosen.get("logs_dir"),
        chosen.get("resume") or None,
        bool(chosen.get("auto_resume")),
    )


def _with_backbone(shape, name):
    if name not in BACKBONES:
        raise Refusal(
            "-a {}: expected {}: the published start weights and heads fit no other backbone".format(
                name, " or ".join(sorted(BACKBONES))
            )
        )
    backbone = BACKBONES[name]
    return dataclasses.replace(shape, layers=backbone.layers, width=backbone.width)
