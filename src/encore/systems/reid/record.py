"""The record of a training run: JSON lines, TensorBoard under the published tags, and text lines."""

from __future__ import annotations

import csv
import json
import os

from encore.runtime.atomic import replacing
from encore.training.event_file import EventFile

HISTORY = "history.jsonl"
TRIPLET_TAGS = ("AN_lt_AP_ratio", "Active_Triplet", "Mean_Dist_Difference")
"""Published. The first one's name says the reverse: it is the share of anchors, in percent, whose negative is
farther than their positive."""
ACCURACY_TAG = "batch_accuray"
"""Published spelling."""
RATES = ("learning_rate", "fc_learning_rate")
EVALUATED = ("rank1", "mAP")
CURVES = ("epoch", "iteration", "train_loss", "train_accuracy") + RATES + ("value",) + EVALUATED
"""Columns of the curves; value: what decides which weights are the best."""
TRIPLET_LINE = 100
"""Iterations between two text lines with the triplets' numbers."""


def scalars_at(params, step, iteration, loss, terms):
    """(x, tag -> number) that the published run writes after a step, or None.

    step: within the epoch, iteration: in the whole run, both from 0. S: the total loss, of each tenth step of
    an epoch without the triplet loss but the first (of the run under class-balanced sampling), with it after
    each tenth iteration of the run (x counts that one); H: the weighted cross-entropy alone, every 50 steps
    of an epoch from the first on.
    """
    if params.state == "H":
        weighted = terms.get("xent_loss", loss)  # published: always there
        return (iteration, _softmax(weighted, terms)) if step % 50 == 0 else None
    if "tri_loss" in params.losses:
        tags = {name: terms[name] for name in TRIPLET_TAGS}
        return (iteration + 1, dict(tags, loss=loss)) if (iteration + 1) % 10 == 0 else None
    number = iteration if params.pk else step
    return (iteration, _softmax(loss, terms)) if number > 0 and number % 10 == 0 else None


def _softmax(loss, terms):
    found = {"loss": loss}
    if "accuracy" in terms:
        found[ACCURACY_TAG] = terms["accuracy"]
    return found


class Record:
    """Writes into the folder of a run.

    history.jsonl: {epoch, step, iteration, learning_rate, fc_learning_rate, ...} of the steps that the
    published run records, with `loss` and its terms, after an epoch with train_loss and train_accuracy, the
    means over its pictures, and after an evaluation with `value` and `evaluation`, all its numbers; nothing
    that differs between two equal runs. Lines of the Position `first` and later ones, which a killed run has
    written, are cut away. TensorBoard: the same numbers, epochs and evaluations at the number of iterations
    done. log: open text file of the published lines. due: the evaluation right before `first` is made again;
    where a killed run has written it, it is not written twice.
    """

    def __init__(self, folder, params, iterations, first, log, due=False):
        self._params, self.log = params, log
        path = os.path.join(folder, HISTORY)
        kept = [row for row in read_history(path) if (row["epoch"], row["step"]) < tuple(first)]
        done = first.epoch * iterations + first.step
        again = [row for row in kept if due and "evaluation" in row and row["iteration"] == done]
        self._has_event = done if again else None
        with replacing(path, "w") as file:
            file.writelines(_line(row) for row in kept if row not in again)
        self._history = open(path, "a", encoding="utf-8", newline="\n")
        # Epochs and evaluations stand at the number of iterations done: that of `first` is kept.
        self._events = EventFile(folder, done + 1)
        self._rows = self._seconds = self._waited = 0

    def step(self, epoch, step, iteration, result, rows, seconds, waited):
        """Record a step of `rows` pictures (a StepResult); seconds: its wall time, waited: for data."""
        self._rows += rows
        self._seconds += seconds
        self._waited += waited
        terms = {name: result.terms[name] for name in RATES}
        found = scalars_at(self._params, step, iteration, result.loss, result.terms)
        if found is None:
            return
        x, scalars = found
        self._events.add(x, dict(scalars, **terms))
        row = dict(result.terms, epoch=epoch, step=step, iteration=iteration, loss=result.loss)
        self._history.write(_line(row))
        self._history.flush()
        self._say(self._text(epoch, iteration, scalars["loss"], result.terms))
        if TRIPLET_TAGS[0] in scalars and x % TRIPLET_LINE == 0:
            self._say("triplet " + " ".join("{} = {:.6f}".format(tag, scalars[tag]) for tag in TRIPLET_TAGS))
        self._rows = self._seconds = self._waited = 0

    def _text(self, epoch, iteration, loss, terms):
        seconds = max(self._seconds, 1e-9)
        text = "epoch [{:03d}] iter = {} loss = {:.6f}".format(epoch, iteration, loss)
        text += " acc = {:.6f}".format(terms["accuracy"]) if "accuracy" in terms else ""
        text += " example/sec = {:.2f} io_percentage = {:.3f}".format(
            self._rows / seconds, self._waited / seconds
        )
        return text + (" st_mean = {:.6f}".format(terms["st_mean"]) if "st_mean" in terms else "")

    def epoch(self, epoch, step, done, values):
        """Record an epoch that ended before step `step`, after `done` iterations of the run: name ->
        number."""
        self._write(epoch, step, done, values)

    def evaluation(self, epoch, step, done, value, metrics, rates):
        """Record an evaluation at that point: the number that decides, and all by name."""
        row = dict(rates, epoch=epoch, step=step, iteration=done, value=value, evaluation=dict(metrics))
        self._history.write(_line(row))
        self._history.flush()
        shown = {name: metrics[name] for name in EVALUATED if name in metrics}
        if done != self._has_event:
            self._events.add(done, dict(rates, **(shown or {"value": value})))
        self._say("evaluation after {} iterations: {:.6f}".format(done, value))

    def _write(self, epoch, step, done, values):
        self._history.write(_line(dict(values, epoch=epoch, step=step, iteration=done)))
        self._history.flush()
        self._events.add(done, {name: values[name] for name in RATES})

    def _say(self, text):
        self.log.write(text + "\n")
        self.log.flush()

    def close(self):
        """Close all files but the log."""
        self._history.close()
        self._events.close()


def read_history(path):
    """The rows of a history.jsonl, dicts; none where there is no such file. A line that was cut off is
    left out."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


def write_curves(history, path):
    """Write the epochs and evaluations of a history.jsonl as CSV, a row after each iteration that has any."""
    merged = {}
    for row in read_history(history):
        if "train_loss" in row or "evaluation" in row:
            values = dict(row, **row.get("evaluation", {}))
            merged.setdefault(row["iteration"], {}).update(values)
    os.makedirs(os.path.dirname(str(path)) or ".", exist_ok=True)
    with replacing(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CURVES)
        for _, values in sorted(merged.items()):
            writer.writerow([values.get(name, "") for name in CURVES])


def _line(row):
    return json.dumps(row, sort_keys=True, allow_nan=False) + "\n"
