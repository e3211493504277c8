"""The command lines of the published recover scripts as data: what each flag does, and which do nothing."""

from __future__ import annotations

import argparse
import dataclasses

from encore.runtime import published_flags
from encore.runtime.parameters import from_mapping
from encore.runtime.published_flags import Flag
from encore.systems.fkd.recover.recipe import CURRICULA, PRESETS, RecoverRecipe

ALWAYS = "accepted and ignored: the last iterate is always stored (published: only with this flag)"
ONE_BY_ONE = "accepted and ignored: ranks do not talk to each other"

FLAGS = (
    Flag(("--exp-name",), "test", "name of the folder; not given: built from the values", "exp_name", str),
    Flag(("--syn-data-path",), "./syn_data", "folder of the experiments", "syn_data_path", str),
    Flag(("--batch-size",), 100, "pictures made together", "batch", int),
    Flag(("--iteration",), 1000, "iterations", "iterations", int),
    Flag(("--lr",), 0.1, "first learning rate of Adam", "learning_rate", float),
    Flag(("--jitter", "--image_shifting"), 32, "largest roll in pixels", "jitter", int),
    Flag(("--r-bn",), 0.05, "weight of the BatchNorm term", "r_bn", float),
    Flag(("--first-bn-multiplier",), 10.0, "factor on its first layer", "first_bn_multiplier", float),
    Flag(("--tv-l2",), 0.0001, "weight of the total variation", "tv", float),
    Flag(("--l2-scale",), 0.00001, "weight of the mean length", "l2", float),
    Flag(("--ipc-start",), 0, "first picture of each class", "ipc_start", int),
    Flag(("--ipc-end",), 50, "the picture after the last one (CIFAR-100, CDA: 1)", "ipc_end", int),
    Flag(("--ipc",), 50, "pictures of each class, batches by class (several GPUs)", "ipc", int),
    Flag(("--num-classes",), 1000, "classes (several GPUs)", "classes", int),
    Flag(("--world-size",), 1, "GPUs that batches by class are dealt out to", "ranks", int),
    Flag(("--rank",), 0, "the one whose batches this run makes; not given: all", "rank", int),
    Flag(("--arch-name",), "resnet18", "network of the teacher", "arch_name", str),
    Flag(("--arch-path",), None, "weights of the teacher (Tiny-ImageNet, CIFAR-100)", "arch_path", str),
    Flag(("--verifier-arch",), "mobilenet_v2", "network of the verifier", "verifier_arch", str),
    Flag(("--verifier-arch-path",), None, "weights of the verifier", "verifier_arch_path", str),
    Flag(("--easy2hard-mode",), "cosine", "curriculum of crops (CDA)", "curriculum", str, None, CURRICULA),
    Flag(("--milestone",), 0.0, "share of the iterations with it; scripts: 1 (CDA)", "milestone", float),
    Flag(("--print_period",), 100, "iterations between entries (several GPUs)", "print_every", int),
    Flag(("--store-best-images",), False, ALWAYS, None),
    Flag(("--store-last-images",), False, ALWAYS, None),
    Flag(
        ("--verifier",),
        False,
        "accepted and ignored, as by the published ImageNet script: a verifier that has weights is asked",
        None,
    ),
    Flag(("--G",), None, "accepted and ignored (CDA): choose GPUs with CUDA_VISIBLE_DEVICES", None, str),
    Flag(
        ("--wandb-key",),
        None,
        "accepted and ignored (CDA): nothing is sent to wandb",
        None,
        str,
        secret=True,
    ),
    Flag(("--dist-url",), "env://", ONE_BY_ONE, None, str),
    Flag(("--dist-backend",), "nccl", ONE_BY_ONE, None, str),
)
DEFAULTS = "defaults"
"""Of `--preset`: the defaults of the published ImageNet flags, which are not the values of its script."""
OWN_FLAGS = (
    Flag(
        ("--preset",),
        None,
        "published values to start from, not the parameter file",
        "preset",
        str,
        choices=tuple(sorted(PRESETS)) + (DEFAULTS,),
    ),
    Flag(("--save-every",), 0, "iterations between saved states; 0: none", "save_every", int),
)
RANGE = ("ipc_start", "ipc_end", "rank")
PLACES = RANGE + (
    "exp_name",
    "syn_data_path",
    "arch_name",
    "arch_path",
    "verifier_arch",
    "verifier_arch_path",
    "preset",
)
"""Keys that are no values of the recipe."""


def add_recover_flags(parser: argparse.ArgumentParser):
    """Add the published flags and ours to `parser`, without defaults, so that what was typed is known."""
    published_flags.add(parser, FLAGS, "published flags")
    return published_flags.add(parser, OWN_FLAGS, "further flags", default="default")


def typed(arguments):
    """Parsed arguments -> (key -> value of the flags that were typed, warnings: one line for each that does
    nothing)."""
    return published_flags.typed(arguments, FLAGS + OWN_FLAGS)


def preset(name):
    """The RecoverRecipe of `--preset`."""
    if name != DEFAULTS:
        return PRESETS[name]
    values = {flag.key: flag.default for flag in FLAGS}
    known = ("batch", "iterations", "learning_rate", "jitter", "r_bn", "first_bn_multiplier", "tv", "l2")
    return dataclasses.replace(RecoverRecipe(), **{key: values[key] for key in known})


def with_flags(recipe, chosen):
    """`recipe` with the flags `chosen` (key -> value); Refusal for a value out of range.

    `ipc` stands for the published script for several GPUs, and so for batches by class.
    """
    values = {key: value for key, value in chosen.items() if key not in PLACES + ("ipc",)}
    if "ipc" in chosen:
        values.update(images_per_class=chosen["ipc"], batching="class")
    elif "ipc_end" in chosen:
        values["images_per_class"] = max(chosen["ipc_end"], recipe.images_per_class)
    return from_mapping(RecoverRecipe, dict(dataclasses.asdict(recipe), **values), "flags")
