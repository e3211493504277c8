"""Files of a run's progress: where it stands, checkpoints within an epoch, reading and writing them whole."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
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
    """Write `content` atomically: `path` is the old file or the new one, never part of one.

    Equal content gives equal bytes, also where some of it was loaded from an earlier checkpoint (torch 1.7.1
    alone names each storage by its address).
    """
    with replacing(path) as file:
        torch.save(_same_texts(content, {}, {}), file)


def _same_texts(value, texts, made):
    """`value` with one object for all equal texts in it. A pickle refers back to an object that it has
    written before, and so tells a text of the program from the same text that was loaded.

    texts, made: what was met so far, text -> the object for it, id -> what a container has become.
    """
    if type(value) is str:
        return texts.setdefault(value, value)
    if id(value) in made:
        return made[id(value)]
    if type(value) in (dict, OrderedDict):
        made[id(value)] = found = type(value)()
        for key, one in value.items():
            found[_same_texts(key, texts, made)] = _same_texts(one, texts, made)
        if type(value) is OrderedDict:  # a state dict has _metadata
            vars(found).update(_same_texts(vars(value), texts, made))
        return found
    if type(value) is list:
        made[id(value)] = found = []
        found.extend(_same_texts(one, texts, made) for one in value)
        return found
    return tuple(_same_texts(one, texts, made) for one in value) if type(value) is tuple else value


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
