"""The record of a training run: JSON lines, the published log lines, TensorBoard."""

from __future__ import annotations

import json
import os

from encore.runtime.atomic import replacing
from encore.training.event_file import EventFile

HISTORY = "history.jsonl"
LOG = "log.txt"
PUBLISHED_NAMES = (
    ("ce", "Loss_ce"),
    ("ce_matrix", "Loss_ce_1"),
    ("kd", "Loss_ce_soft"),
    ("triplet", "Loss_tr"),
    ("accuracy", "Prec"),
    ("accuracy_matrix", "Prec_1"),
)


class Journal:
    """Writes every `every`-th step of an epoch to history.jsonl, log.txt and TensorBoard in `folder`.

    history.jsonl: one object a logged step {epoch, step, learning_rate, loss, terms...} and nothing that
    differs between two equal runs; on resume, lines from the resumed step on are cut away, since they are
    written again. log.txt: tab separated as published, value and running mean over the epoch (since the
    resume, where there was one); unlike the published log it is not emptied on resume. first: (epoch, step)
    at which this run starts.
    """

    def __init__(self, folder, iterations, every=10, first=(0, 0)):
        os.makedirs(folder, exist_ok=True)
        self._iterations = iterations
        self._every = every
        history = os.path.join(folder, HISTORY)
        _keep_before(history, first)
        self._history = open(history, "a", encoding="utf-8", newline="\n")
        self._log = open(os.path.join(folder, LOG), "a", encoding="utf-8", newline="\n")
        self._events = EventFile(folder, first[0] * iterations + first[1])
        self._means = {}
        self._epoch = None

    def step(self, epoch, step, learning_rate, loss, terms, seconds, data_seconds):
        """Record one step; loss and terms are numbers, seconds its wall time, data_seconds the wait for its
        batch."""
        if epoch != self._epoch:
            self._epoch, self._means = epoch, {}
        for name, value in dict(terms, seconds=seconds, data_seconds=data_seconds).items():
            count, total = self._means.get(name, (0, 0.0))
            self._means[name] = (count + 1, total + value)
        if (step + 1) % self._every:
            return
        line = {"epoch": epoch, "step": step, "learning_rate": learning_rate, "loss": loss}
        self._history.write(json.dumps(dict(line, **terms), sort_keys=True, allow_nan=False) + "\n")
        self._log.write(self._published_line(epoch, step, learning_rate, terms, seconds, data_seconds) + "\n")
        number = epoch * self._iterations + step
        scalars = dict(terms, loss=loss, learning_rate=learning_rate, seconds=seconds)
        self._events.add(number, {"train/" + name: value for name, value in scalars.items()})
        self.flush()

    def _published_line(self, epoch, step, learning_rate, terms, seconds, data_seconds):
        def shown(label, name, value, form, scale=1.0):
            count, total = self._means[name]
            return (label + " " + form + " (" + form + ")") % (value * scale, total / count * scale)

        fields = [
            "Epoch: [%d][%d/%d]" % (epoch, step + 1, self._iterations),
            "LR %.8f" % learning_rate,
            shown("Time", "seconds", seconds, "%.3f"),
            shown("Data", "data_seconds", data_seconds, "%.3f"),
        ]
        for name, label in PUBLISHED_NAMES:
            if name in terms:
                form, scale = ("%.2f%%", 100.0) if name.startswith("accuracy") else ("%.3f", 1.0)
                fields.append(shown(label, name, terms[name], form, scale))
        return "\t".join(fields)

    def flush(self):
        """Hand everything written so far to the operating system."""
        for file in (self._history, self._log):
            file.flush()

    def close(self):
        """Close all files."""
        self.flush()
        self._history.close()
        self._log.close()
        self._events.close()


def _keep_before(path, first):
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file:
        complete = [line for line in file if line.endswith("\n")]
    kept = [line for line in complete if (json.loads(line)["epoch"], json.loads(line)["step"]) < tuple(first)]
    with replacing(path, "w") as file:
        file.writelines(kept)
