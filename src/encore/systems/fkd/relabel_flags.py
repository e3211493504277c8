"""The command line of the published relabel script as data: what each flag does, and which do nothing."""

from __future__ import annotations

import argparse
import dataclasses

from encore.runtime import published_flags
from encore.runtime.parameters import from_mapping
from encore.runtime.published_flags import Flag
from encore.systems.fkd.relabel import RelabelRecipe

SAVE = "fkd_save"
"""The one value of `--mode` that makes labels."""
ONE_PROCESS = "accepted and ignored: one process makes the labels; share epochs out with --epoch-start"

FLAGS = (
    Flag(("--data",), None, "pictures, one folder a class", "images", str),
    Flag(("-a", "--arch"), "resnet18", "network of the teacher", "arch", str),
    Flag(("-b", "--batch-size"), 4, "pictures a batch; as at training (script: 1024)", "batch", int),
    Flag(("-j", "--workers"), 4, "loader processes; the labels are the same for any", "workers", int),
    Flag(("--epochs",), 300, "epochs of labels", "epochs", int),
    Flag(("--input-size",), 224, "side of the crops in pixels", "size", int),
    Flag(("--min-scale-crops",), 0.08, "least area of a crop, as a share", "min_scale", float),
    Flag(("--max-scale-crops",), 1.0, "largest area of a crop, as a share", "max_scale", float),
    Flag(("--fkd-path",), "./FKD_soft_label", "folder of the labels; ours: beside, _store", "fkd_path", str),
    Flag(("--use-fp16",), False, "logits in float16; without it: float32", "half"),
    Flag(("--mode",), SAVE, "no other value makes labels", "mode", str),
    Flag(("--fkd-seed",), 42, "of the pictures' order; the published trainer takes 42", "sampler_seed", int),
    Flag(("--mix-type",), None, "as at training", "mix", str, None, ("mixup", "cutmix", "None")),
    Flag(("--mixup",), 0.8, "parameter of its Beta distribution", "mixup", float),
    Flag(("--cutmix",), 1.0, "parameter of its Beta distribution", "cutmix", float),
    Flag(("--seed",), None, "of crops, flips and mixing; published: not of NumPy's draws", "seed", int),
    Flag(("--gpu",), None, "accepted and ignored: choose GPUs with CUDA_VISIBLE_DEVICES", None, int),
    Flag(("--world-size",), -1, ONE_PROCESS, None, int),
    Flag(("--rank",), -1, ONE_PROCESS, None, int),
    Flag(("--dist-url",), None, ONE_PROCESS, None, str),
    Flag(("--dist-backend",), "nccl", ONE_PROCESS, None, str),
    Flag(("--multiprocessing-distributed",), False, ONE_PROCESS, None),
)
"""The published flags; the published default of `--dist-url`, an address, is left out. The distributed ones
are unsafe there: every rank makes all pictures' labels and writes the same files."""
OWN_FLAGS = (
    Flag(("--arch-path",), None, "weights of the teacher; not given: fkd.relabel.teacher", "arch_path", str),
)


def add_relabel_flags(parser: argparse.ArgumentParser):
    """Add the published flags and ours to `parser`, without defaults, so that what was typed is known."""
    published_flags.add(parser, FLAGS, "published flags")
    return published_flags.add(parser, OWN_FLAGS, "further flags", default="default")


def typed(arguments):
    """Parsed arguments -> (key -> value of the flags that were typed, warnings: one line for each that does
    nothing)."""
    return published_flags.typed(arguments, FLAGS + OWN_FLAGS)


def with_defaults(chosen):
    """`chosen` (key -> value) and the published defaults of the flags that are not in it."""
    return dict({flag.key: flag.default for flag in FLAGS if flag.key is not None}, **chosen)


def published_recipe(recipe, chosen):
    """The RelabelRecipe of the published script called with the flags `chosen` (key -> value).

    Flags that are not there have their published defaults, and all classes are stored; what the script has
    no flag for (chance of a flip, normalisation, seed) is that of `recipe`. Refusal for a value out of range.
    """
    values = dict(dataclasses.asdict(recipe), top_k=None, temperature=None)
    for key, value in with_defaults(chosen).items():
        if key in values and not (key == "seed" and value is None):
            values[key] = value
    values["mix"] = str(values["mix"]).lower()  # without the flag, None
    return from_mapping(RelabelRecipe, values, "flags")
