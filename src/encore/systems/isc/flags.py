"""The command line of the published training scripts, the same for all three, as data: what each flag does
and which do nothing.

Two differ from here on purpose: `--auto_resume` fails in the published code where there is no checkpoint yet,
and starts afresh here; `--evaluate` without `--resume` fails there.
"""

from __future__ import annotations

from encore.runtime import published_flags
from encore.runtime.published_flags import IGNORED, Flag

FLAGS = (
    Flag(("-ds", "--dataset-source"), "randperson", "name of the training set", "dataset", str),
    Flag(("-b", "--batch-size"), 64, "images per step", "batch", int),
    Flag(("-j", "--workers"), 4, "loader processes", "workers", int),
    Flag(("--height",), 512, "image height", "height", int),
    Flag(("--width",), 512, "image width", "width", int),
    Flag(("--num-instances",), 4, "images per class in a batch; 0: plain shuffle", "instances", int),
    Flag(("-a", "--arch"), "resnet50", "backbone", "arch", str),
    Flag(("--features",), 0, IGNORED + " at 0; above 0 the published network crashes", None, int),
    Flag(("--dropout",), 0.0, IGNORED + ": the layer is built and never applied", None, float),
    Flag(("--lr",), 0.00035, "learning rate of Adam", "learning_rate", float),
    Flag(("--momentum",), 0.9, IGNORED + ": Adam has none", None, float),
    Flag(("--weight-decay",), 5e-4, IGNORED + ": not passed to Adam, which runs without", None, float),
    Flag(("--warmup-step",), 10, IGNORED + ": the warm-up is fixed at 5 epochs", None, int),
    Flag(("--milestones",), [40, 70], IGNORED + ": the schedule is a cosine", None, int, "+"),
    Flag(("--resume",), "", "checkpoint to go on from", "resume", str),
    Flag(("--auto_resume",), False, "go on from the newest checkpoint in --logs-dir", "auto_resume"),
    Flag(("--evaluate",), False, IGNORED + ": it only moves the log, training still runs", None),
    Flag(("--eval-step",), 1, IGNORED + ": there is no validation", None, int),
    Flag(("--rerank",), False, IGNORED + ": there is no validation", None),
    Flag(("--epochs",), 100, "epochs", "epochs", int),
    Flag(("--iters",), 2000, "steps per epoch; 0 or less: one pass", "iterations", int),
    Flag(("--print-freq",), 10, "steps between log lines", "print_every", int),
    Flag(("--margin",), 0.0, "smoothing of the soft triplet loss; not a margin", "margin", float),
    Flag(("--data-dir",), None, "folder of the training set", "data_dir", str),
    Flag(("--logs-dir",), None, "folder of checkpoints and log", "logs_dir", str),
)


def add_published_flags(parser):
    """Add all published flags to an argparse parser, without defaults, so that only what was typed overrides
    a parameter."""
    return published_flags.add(
        parser, FLAGS, "published flags", "they override the parameter file, and are recorded"
    )


def overrides(arguments, ignored=()):
    """Parsed arguments -> (parameters to override: key -> value, warnings: one line per typed flag without
    effect).

    ignored: keys that this script accepts and ignores, too (the Track 1 main script: resume).
    """
    return published_flags.typed(arguments, FLAGS, ignored)
