"""What a published training command line (`-ds isc_100k_256 -a resnet50 …`) means for a run."""

from __future__ import annotations

import dataclasses
import os
from typing import Dict, NamedTuple, Optional, Tuple

from encore.models.isc_network import IscShape
from encore.runtime.refusal import Refusal
from encore.systems.isc.recipe import TrainingRecipe

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


class TrainingScript(NamedTuple):
    """What one published training script is used for."""

    data_sets: Tuple[str, ...]
    """Names that `-ds` takes; the first is meant without the flag."""
    backbones: Dict[str, IscShape]
    """Names that `-a` takes, with the published network of each."""
    ignored: Tuple[str, ...] = ()
    """Keys of the flags that this script accepts and ignores."""


TRACK2 = TrainingScript(("isc_100k_256",), {"resnet50": IscShape()})


class TrainingCommand(NamedTuple):
    """A run as the command line asks for it."""

    recipe: TrainingRecipe
    data: str
    """Folder of the training set: ours, or the published layout `<data-dir>/<name>/<name>`."""
    logs: Optional[str]
    """Folder that `--logs-dir` names; None: the stage's own output."""
    resume: Optional[str]
    auto_resume: bool


def training_command(recipe, chosen, data, script=TRACK2):
    """`recipe` and the training set `data` with the published flags `chosen` (key -> value) applied.

    Raises Refusal for a data set or backbone that this script (or run) does not train on.
    """
    name = chosen.get("dataset", script.data_sets[0])
    if name not in script.data_sets:
        raise Refusal("-ds {}: expected {}".format(name, " or ".join(script.data_sets)))
    if "data_dir" in chosen:
        data = os.path.join(chosen["data_dir"], name)
        nested = os.path.join(data, name)
        data = nested if os.path.isdir(nested) else data
    changes = {key: chosen[key] for key in RECIPE_KEYS if key in chosen}
    if "margin" in chosen:
        changes["loss"] = dataclasses.replace(recipe.loss, margin=chosen["margin"])
    if "arch" in chosen:
        changes["shape"] = _with_backbone(recipe.shape, chosen["arch"], script.backbones)
    return TrainingCommand(
        dataclasses.replace(recipe, **changes),
        data,
        chosen.get("logs_dir"),
        chosen.get("resume") or None,
        bool(chosen.get("auto_resume")),
    )


def _with_backbone(shape, name, backbones):
    if name not in backbones:
        raise Refusal(
            "-a {}: expected {}: the published start weights and heads fit no other backbone".format(
                name, " or ".join(sorted(backbones))
            )
        )
    backbone = backbones[name]
    return dataclasses.replace(shape, layers=backbone.layers, width=backbone.width, ibn=backbone.ibn)
