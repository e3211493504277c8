"""Files of a run's progress: where it stands, checkpoints within an epoch, and writing them whole."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

import torch

from encore.runtime.atomic import replacing

WORK_NAME = re.compile(r"work_(\d+)_(\d+)\.pth\.tar")


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
