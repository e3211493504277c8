"""Files of a run's progress: where it stands, checkpoints within an epoch, reading and writing them whole."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

import torch

from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load

WORK_NAME = re.compile(r"work_(\d+)_(\d+)\.pth\.tar")
OURS = "encore"
"""Key of what the published files lack."""


class Position(NamedTuple):
    """The step that a run does next: epoch and step within it, counted from 0."""

    epoch: int
    step: int


def work_path(folder, position):
    """Name of a checkpoint within an epoch; the published code never sees it as one of its own."""
    return os.path.join(folder, "work_%d_%d.pth.tar" % position)


def drop_work(folder, but=None):
    """Remove the checkpoints within epochs, except the one at path `but`."""
    for name in os.listdir(folder):
        if WORK_NAME.fullmatch(name) and os.path.join(folder, name) != but:
            os.unlink(os.path.join(folder, name))


def save(path, content):
    """Write `content` atomically: `path` is the old file or the new one, never part of one."""
    with replacing(path) as file:
        torch.save(content, file)


def load(path, keys, kind, name):
    """Read a checkpoint, ours or a published one -> dict; Refusal where it is damaged or lacks one of `keys`.

    kind, name: what such a file is and is called, for the message.
    """
    content = safe_load(path)
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise Refusal(
            "%s is no %s checkpoint: expected the entries %s, missing %s: give a %s"
            % (path, kind, ", ".join(keys), ", ".join(missing), name)
        )
    return content


def position_of(content, epoch_key="epoch"):
    """Where a loaded checkpoint goes on; a published one always at the start of the epoch that it names."""
    ours = content.get(OURS)
    return Position(ours["epoch"], ours["step"]) if ours else Position(int(content[epoch_key]), 0)


def lambda_lr_state(base_learning_rate, epoch, groups, factor):
    """State of a LambdaLR after `epoch` steps, as torch 1.7.1 writes it.

    factor: epoch -> factor on the base learning rate.
    """
    return {
        "base_lrs": [base_learning_rate] * groups,
        "last_epoch": epoch,
        "_step_count": epoch + 1,
        "verbose": False,
        "_get_lr_called_within_step": False,
        "_last_lr": [base_learning_rate * factor(epoch)] * groups,
        "lr_lambdas": [None] * groups,
    }
