"""The record of a stage's training: JSON lines, and TensorBoard under the published names."""

from __future__ import annotations

import csv
import json
import os

from encore.runtime.atomic import replacing
from encore.training.event_file import EventFile

HISTORY = "history.jsonl"
CURVES = ("trn_loss", "trn_qry_acc", "val_loss", "val_acc", "val_qry_acc", "val_ref_acc")
"""Columns of the curves between epoch and lr; in the record with _epoch behind them."""


class Record:
    """Writes into the version folder `folder`.

    history.jsonl: {epoch, step, lr, trn_loss_step, trn_qry_acc_step} of every `every`-th step, and after an
    epoch, under the step that no other has, {epoch, step, lr, <name>_epoch …}; nothing that differs between
    two equal runs. Lines from the Position `first` on, which a killed run has written, are cut away.
    TensorBoard: the same numbers at the number of the step in the whole run.
    """

    def __init__(self, folder, steps, every, first):
        self._steps, self._every = steps, every
        path = os.path.join(folder, HISTORY)
        kept = [row for row in read_history(path) if (row["epoch"], row["step"]) < tuple(first)]
        with replacing(path, "w") as file:
            file.writelines(_line(row) for row in kept)
        self._history = open(path, "a", encoding="utf-8", newline="\n")
        self._events = EventFile(folder, first.epoch * steps + first.step)

    def step(self, epoch, step, values):
        """Record a step: name -> number."""
        if (step + 1) % self._every == 0:
            self._write(epoch, step, values, epoch * self._steps + step)

    def epoch(self, epoch, values):
        """Record an epoch that has been trained and validated."""
        self._write(epoch, self._steps, values, (epoch + 1) * self._steps - 1)

    def close(self):
        """Close all files."""
        self._history.close()
        self._events.close()

    def _write(self, epoch, step, values, number):
        self._history.write(_line(dict(values, epoch=epoch, step=step)))
        self._history.flush()
        self._events.add(number, dict(values, epoch=epoch))


def read_history(path):
    """The rows of a history.jsonl, dicts; none where there is no such file. A line that was cut off is
    left out."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


def epochs_of(rows):
    """Those rows of a history that close an epoch."""
    return [row for row in rows if "val_loss_epoch" in row]


def write_curves(history, path):
    """Write a history.jsonl as CSV, a row an epoch: epoch, CURVES, lr."""
    os.makedirs(os.path.dirname(str(path)) or ".", exist_ok=True)
    with replacing(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("epoch",) + CURVES + ("lr",))
        for row in epochs_of(read_history(history)):
            writer.writerow([row["epoch"]] + [row[name + "_epoch"] for name in CURVES] + [row["lr"]])


def _line(row):
    return json.dumps(row, sort_keys=True, allow_nan=False) + "\n"
