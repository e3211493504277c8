"""The command line of the published trainer of students as data: what each flag does, and its default."""

from __future__ import annotations

import argparse
import dataclasses

from encore.runtime import published_flags
from encore.runtime.parameters import from_mapping
from encore.runtime.published_flags import Flag
from encore.systems.fkd.tracking import KEY_FLAG
from encore.systems.fkd.train_recipe import HARDWARE, WANDB_MODES, StudentRecipe


def mix_type(text):
    """Value of `--mix-type` -> cutmix, mixup or none; the published parser refuses its own choice None."""
    name = {"None": "none"}.get(text, text)
    if name not in ("cutmix", "mixup", "none"):
        raise argparse.ArgumentTypeError("expected mixup, cutmix or None, found %r" % text)
    return name


FLAGS = (
    Flag(("--batch-size",), 1024, "pictures a step; as at relabelling", "batch", int),
    Flag(("--gradient-accumulation-steps",), 1, "chunks of a batch, for less memory", "accumulation", int),
    Flag(
        ("--start-epoch",),
        0,
        "first epoch, without a checkpoint; published: fails",
        "start_epoch",
        int,
    ),
    Flag(("--epochs",), 300, "epochs; no more than at relabelling", "epochs", int),
    Flag(("-j", "--workers"), 16, "loader processes", "workers", int),
    Flag(("--train-dir",), None, "distilled pictures, one folder a class", "train_dir", str),
    Flag(("--val-dir",), None, "validation pictures, one folder a class", "val_dir", str),
    Flag(("--output-dir",), "./save/1024", "folder of checkpoints and record", "output_dir", str),
    Flag(("--cos",), False, "cosine learning rate; without it: linear", "cosine"),
    Flag(("--sgd",), False, "SGD; without it: AdamW", "sgd"),
    Flag(("-lr", "--learning-rate"), 1.024, "first learning rate of SGD", "sgd.learning_rate", float),
    Flag(("--momentum",), 0.875, "of SGD", "sgd.momentum", float),
    Flag(("--weight-decay",), 3e-5, "of SGD", "sgd.weight_decay", float),
    Flag(("--adamw-lr",), 0.001, "first learning rate of AdamW", "adamw.learning_rate", float),
    Flag(("--adamw-weight-decay",), 0.01, "of AdamW", "adamw.weight_decay", float),
    Flag(("--model",), "resnet18", "network of the student", "model", str),
    Flag(
        ("--keep-topk",),
        1000,
        "classes that a label keeps; published: unused, and not typed: all",
        "keep_top_k",
        int,
    ),
    Flag(("-T", "--temperature"), 3.0, "of the distillation loss", "temperature", float),
    Flag(("--fkd-path",), None, "labels, with or without / at the end", "fkd_path", str),
    Flag(("--wandb-project",), "Temperature", "project at wandb", "wandb_project", str),
    Flag((KEY_FLAG,), None, "key of wandb, kept nowhere; or WANDB_API_KEY", "wandb_api_key", str),
    Flag(("--mix-type",), None, "mixup, cutmix or None; as at relabelling", "mix", mix_type),
    Flag(
        ("--fkd-seed", "--fkd_seed"),
        42,
        "seed of the pictures' order; as at relabelling",
        "order_seed",
        int,
    ),
)
"""The published flags. Switches that are off are data too: without --cos the rate falls linearly."""
OWN_FLAGS = (
    Flag(("--val-workers",), None, "loader processes of the validation", "validation_workers", int),
    Flag(("--wandb",), "disabled", "one of " + ", ".join(WANDB_MODES), "wandb", str),
    Flag(
        ("--hardware",),
        None,
        "published workers and accumulation for a card",
        "hardware",
        str,
        choices=tuple(sorted(HARDWARE)),
    ),
)
PLACES = ("train_dir", "val_dir", "output_dir", "fkd_path", "model", "wandb_api_key", "hardware")
"""Keys that are no values of the recipe."""
UNUSED = ("keep_top_k",)
"""Keys whose published default changes nothing there; one that is typed does what it says here."""


def add_train_flags(parser: argparse.ArgumentParser):
    """Add the published flags and ours to `parser`, without defaults, so that what was typed is known."""
    published_flags.add(parser, FLAGS, "published flags")
    return published_flags.add(parser, OWN_FLAGS, "further flags", default="default")


def typed(arguments):
    """Parsed arguments -> key -> value of the flags that were typed."""
    return published_flags.typed(arguments, FLAGS + OWN_FLAGS)[0]


def published_recipe(recipe=None):
    """The recipe of the published trainer called without a flag: `recipe` with the defaults of all flags that
    it uses."""
    defaults = {flag.key: flag.default for flag in FLAGS if flag.key not in UNUSED}
    return with_flags(recipe or StudentRecipe(), defaults, switches=True)


def with_flags(recipe, chosen, switches=False):
    """`recipe` with the flags `chosen` (key -> value) applied; a flag wins over the hardware's advice.
    Refusal for a value out of range.

    switches: whether a switch that is off says linear and AdamW, as in a published command line.
    """
    values = dict(HARDWARE[chosen["hardware"]]) if chosen.get("hardware") else {}
    nested = {"adamw": {}, "sgd": {}}
    for key, value in chosen.items():
        group, _, name = key.rpartition(".")
        if group:
            nested[group][name] = value
        elif key not in PLACES + ("cosine", "sgd"):
            values[key] = "none" if key == "mix" and value is None else value
    if switches or chosen.get("cosine"):
        values["schedule"] = "cosine" if chosen.get("cosine") else "linear"
    if switches or chosen.get("sgd"):
        values["optimizer"] = "sgd" if chosen.get("sgd") else "adamw"
    changed = dict(dataclasses.asdict(recipe), **values)
    for group, changes in nested.items():
        changed[group] = dict(changed[group], **changes)
    return from_mapping(StudentRecipe, changed, "flags")
