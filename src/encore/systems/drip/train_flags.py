"""The command line of the published trainer as data: what each flag does, and its default."""

from __future__ import annotations

from encore.runtime import published_flags
from encore.runtime.published_flags import Flag

FLAGS = (
    Flag(
        ("--n-facebook-samples",), 5000, "classes that are training pictures", "stage.n_facebook_samples", int
    ),
    Flag(("--n-imagenet-samples",), 0, "classes that are ImageNet pictures", "stage.n_imagenet_samples", int),
    Flag(("--n-frm-face-samples",), 0, "classes that are faces", "stage.n_frm_face_samples", int),
    Flag(("--batch-size",), 160, "classes a step", "stage.batch_size", int),
    Flag(
        ("--qry-augs-intensity",),
        0.75,
        "how often and how strongly views are augmented, 0 to 1",
        "stage.qry_augs_intensity",
        float,
    ),
    Flag(
        ("--build-w-matrix",),
        None,
        "last.ckpt of the stage before, or its folder or name: weights, and the centroids of all classes",
        "build_w_matrix",
        str,
    ),
    Flag(("--show-some-samples",), False, "accepted and ignored: the published program draws a figure", None),
    Flag(("--no-show-some-samples",), True, "accepted: the default", None),
)
"""The published flags."""
OWN_FLAGS = (
    Flag(
        ("--model-config",),
        None,
        "a published model_config.py, read and never run, or YAML of its names; the flags above win over it",
        "model_config",
        str,
    ),
    Flag(("--stop-val-loss",), None, "end after an epoch of a lower validation loss", "stop.val_loss", float),
    Flag(("--stop-trn-loss",), None, "end after an epoch of a lower training loss", "stop.trn_loss", float),
    Flag(("--max-epochs",), 1000, "end after so many epochs", "stop.max_epochs", int),
    Flag(("--precision",), 16, "bits; 16 needs a GPU", "recipe.precision", int),
    Flag(("--workers",), 4, "processes that make views", "recipe.workers", int),
    Flag(("--processes",), 1, "processes that share the run: 1, 2 or 4", "recipe.processes", int),
)


def add_train_flags(parser):
    """Add the published flags and ours to an argparse parser, without defaults, so that what was typed is
    known."""
    published_flags.add(parser, FLAGS, "published flags")
    return published_flags.add(parser, OWN_FLAGS, "further flags", default="default")


def typed(arguments):
    """Parsed arguments -> (key -> value of the flags that were typed, warnings: one line per flag without
    effect)."""
    return published_flags.typed(arguments, FLAGS + OWN_FLAGS)


def section(chosen, name):
    """The values of the keys `name.…` of typed flags."""
    return {key.partition(".")[2]: value for key, value in chosen.items() if key.startswith(name + ".")}
