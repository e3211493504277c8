"""The folder that a stage writes, as published: lightning_logs/version_N/checkpoints/last.ckpt."""

from __future__ import annotations

import os
import re

from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal
from encore.systems.drip import published_checkpoints
from encore.training import checkpoint_files

LOGS = "lightning_logs"
CHECKPOINTS = "checkpoints"
LAST = "last.ckpt"
HPARAMS = "hparams.yaml"
VERSION = re.compile(r"version_(\d+)")
MONITOR = "val_acc_epoch"
"""What the kept checkpoints are best in."""
NAME = re.compile(r"FacebookModel_epoch=.*\.ckpt")


def versions(folder):
    """Paths of the version folders below `folder`, the output of a stage, in the order of their numbers."""
    logs = os.path.join(str(folder), LOGS)
    found = [
        os.path.join(logs, name)
        for name in (os.listdir(logs) if os.path.isdir(logs) else [])
        if VERSION.fullmatch(name)
    ]
    return sorted(found, key=_number)


def open_version(folder, identity):
    """The version folder below `folder` for a run of `identity` (name -> text): the one that a run of the
    same has begun, with all that it has done, or a new one.

    Its hparams.yaml says the identity. Published: every start makes a new version, and goes on from the
    last.ckpt of the highest one, whatever that was trained on.
    """
    import yaml

    text = yaml.safe_dump(dict(identity), sort_keys=True)
    there = versions(folder)
    for path in reversed(there):
        if _content(os.path.join(path, HPARAMS)) == text:
            break
    else:
        if there and _is_only_begun(there[-1]):
            number = _number(there[-1])
        else:
            number = _number(there[-1]) + 1 if there else 0
        path = os.path.join(str(folder), LOGS, "version_%d" % number)
        os.makedirs(path, exist_ok=True)
        with replacing(os.path.join(path, HPARAMS), "w") as file:
            file.write(text)
    os.makedirs(os.path.join(path, CHECKPOINTS), exist_ok=True)
    return path


def last_checkpoint(folder):
    """Path of the last.ckpt in the highest version below `folder` that has one, as published.

    Refusal where there is none.
    """
    for version in reversed(versions(folder)):
        path = os.path.join(version, CHECKPOINTS, LAST)
        if os.path.isfile(path):
            return path
    raise Refusal(
        "{}: no {}/version_N/{}/{}: train that stage first, one epoch at least".format(
            folder, LOGS, CHECKPOINTS, LAST
        )
    )


def checkpoint_name(epoch, row):
    """Published name of the checkpoint after `epoch` (from 0); row: name -> number.

    Published quirks: a space before an epoch of one digit, and a training accuracy that is never logged, so
    that it is always 0.
    """
    return (
        "FacebookModel_epoch=%2d_trn_loss_epoch=%.4f_trn_acc_epoch=0.0000_val_loss_epoch=%.4f"
        "_val_acc_epoch=%.4f.ckpt" % (epoch, row["trn_loss_epoch"], row["val_loss_epoch"], row[MONITOR])
    )


class BestCheckpoints:
    """Which checkpoints are kept: the `most` of the highest score, as Lightning's ModelCheckpoint chooses.

    A later one of an equal score does not replace an earlier one; of equal lowest scores the earliest goes.
    """

    def __init__(self, most):
        self.most, self.kept = most, []

    def take(self, name, score):
        """Whether the checkpoint `name` is to be kept; the one that it replaces is forgotten."""
        if not self.most:
            return False
        if len(self.kept) >= self.most:
            worst = self._worst()
            if not score > worst[1]:
                return False
            self.kept.remove(worst)
        self.kept.append((name, score))
        return True

    def state(self):
        """Plain values for a checkpoint, under Lightning's names where it has them."""
        best = max(self.kept, key=lambda entry: entry[1], default=("", None))
        return {
            "monitor": MONITOR,
            "best_model_path": best[0],
            "best_model_score": best[1],
            "kept": [list(entry) for entry in self.kept],
        }

    def load(self, state):
        """Go on from a `state()`; where fewer are to be kept than then, the lowest are forgotten."""
        self.kept = [tuple(entry) for entry in state["kept"]]
        while len(self.kept) > self.most:
            self.kept.remove(self._worst())

    def _worst(self):
        return min(self.kept, key=lambda entry: entry[1])


class CheckpointFolder:
    """The checkpoints of one version: last.ckpt, the best ones, and one within an epoch."""

    def __init__(self, version):
        self.folder = os.path.join(version, CHECKPOINTS)
        self.last = os.path.join(self.folder, LAST)

    def find_newest(self):
        """Path of the checkpoint that has come furthest, or None."""
        found = [
            os.path.join(self.folder, name)
            for name in sorted(os.listdir(self.folder))
            if name == LAST or checkpoint_files.WORK_NAME.fullmatch(name)
        ]
        positions = [
            (checkpoint_files.position_of(published_checkpoints.read_container(path)), path) for path in found
        ]
        return max(positions)[1] if positions else None

    def paths_at(self, position, best=None):
        """Where the checkpoint at `position` goes, a list; best: its name where it is among the best.

        last.ckpt is written last: a run killed before it does the epoch again, and writes the same.
        """
        if position.step:
            return [checkpoint_files.work_path(self.folder, position)]
        return ([] if best is None else [os.path.join(self.folder, best)]) + [self.last]

    def drop(self, kept, but=None):
        """Remove checkpoints that are not among the names `kept`, those within epochs but `but`, and what a
        killed run has half written."""
        checkpoint_files.drop_work(self.folder, but=but)
        for name in os.listdir(self.folder):
            if (NAME.fullmatch(name) and name not in kept) or ".tmp-" in name:
                os.unlink(os.path.join(self.folder, name))


def _number(version):
    return int(VERSION.fullmatch(os.path.basename(version)).group(1))


def _is_only_begun(version):
    """Whether a run was killed before it had said in `version` what it is: nothing of it is there."""
    return not any(os.path.exists(os.path.join(version, name)) for name in (HPARAMS, CHECKPOINTS))


def _content(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None
