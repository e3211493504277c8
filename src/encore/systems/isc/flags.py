"""The command line of the published training scripts, the same for all three, as data: what each flag does
and which do nothing.

Two differ from here on purpose: `--auto_resume` fails in the published code where there is no checkpoint yet,
and starts afresh here; `--evaluate` without `--resume` fails there.
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple, Optional, Tuple


class Flag(NamedTuple):
    """One published flag."""

    names: Tuple[str, ...]
    default: Any
    """Published default."""
    effect: str
    key: Optional[str]
    """Parameter that it overrides; None: accepted and without effect on the numbers."""
    kind: Any = None
    """Type of the value; None: a switch."""
    count: Optional[str] = None
    """argparse's nargs."""


IGNORED = "accepted and ignored, as by the published script"

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


def attribute(flag):
    """Name under which argparse keeps a flag: its long name with underscores."""
    return flag.names[-1].lstrip("-").replace("-", "_")


def add_published_flags(parser: argparse.ArgumentParser):
    """Add all published flags to `parser`, without defaults, so that only what was typed overrides a
    parameter."""
    group = parser.add_argument_group("published flags", "they override the parameter file, and are recorded")
    for flag in FLAGS:
        shown = "%s (published default: %s)" % (flag.effect, flag.default)
        if flag.kind is None:
            group.add_argument(*flag.names, action="store_true", default=None, help=shown)
        else:
            group.add_argument(*flag.names, type=flag.kind, nargs=flag.count, default=None, help=shown)
    return parser


def overrides(arguments, ignored=()):
    """Parsed arguments -> (parameters to override: key -> value, warnings: one line per typed flag without
    effect).

    ignored: keys that this script accepts and ignores, too (the Track 1 main script: resume).
    """
    chosen, warnings = {}, []
    for flag in FLAGS:
        value = getattr(arguments, attribute(flag))
        if value is None:
            continue
        if flag.key is None or flag.key in ignored:
            effect = flag.effect if flag.key is None else IGNORED
            warnings.append("%s %s: %s" % (flag.names[-1], value, effect))
        else:
            chosen[flag.key] = value
    return chosen, warnings
