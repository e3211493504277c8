"""Compare the stages: what centroids spare the training at a stage's start, and what further stages bring."""

from __future__ import annotations

import csv
import json
import math
import os
from collections import OrderedDict
from dataclasses import dataclass
from typing import List, NamedTuple

from encore.metrics.evidence.differences import HERE, Difference, Differences
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.metrics.evidence.loss_curves import LossCurves
from encore.runtime.atomic import replacing
from encore.runtime.parameters import read_section, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.drip.stage_values import START, compared_pair, read_stages

SYSTEM = "drip"
CURVES = "plots/drip/train/{}.csv"
INFERENCE, EVIDENCE = "metrics/drip/infer/{}.json", "infer/{}.npz"
OUTPUT = "plots/drip/stages.csv"
COLUMNS = ("stage", "kernel", "classes", "epoch", "total_epoch", "trn_loss", "val_loss")
VALUES = ("average_precision", "recall_p90")
NORMALISED = "normalised_"


class Epoch(NamedTuple):
    """Mean losses of one epoch of a stage."""

    epoch: int
    trn_loss: float
    val_loss: float


@dataclass(frozen=True)
class History:
    """The epochs of a stage, and how many its weights had seen before: those of the stages it rests on."""

    before: int
    epochs: List[Epoch]

    @property
    def after(self):
        """Epochs that its weights have seen at its end."""
        return self.before + len(self.epochs)


def main():
    arguments = stage_parser(__doc__).parse_args()
    with Stage(SYSTEM, "compare") as stage:
        stages, inferred = read_stages(arguments.params), read_inferred(arguments.params)
        recorded = {name: values.recorded() for name, values in stages.items()}
        stage.recorded["parameters"] = {"stages": recorded, "inferred": list(inferred)}
        pair = compared_pair(stages, arguments.params)
        histories = read_histories(stages)
        metrics = stage_metrics(stages, histories, pair)
        metrics.update(inference_metrics([read_metrics(name) for name in inferred]))
        stage.evidence(evidence_of(histories, pair, inferred, metrics))
        path = os.path.join(stage.work_folder(recipe_digest(recorded)), "stages.csv")
        write_histories(path, stages, histories)
        stage.metrics(metrics)
        stage.publish(path, OUTPUT)


def read_inferred(path):
    """The stage names under drip.inferred of a parameter file that can be read."""
    names = read_section(path, "drip.inferred")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise Refusal("{}: drip.inferred: expected names of stages, found {!r}".format(path, names))
    return tuple(names)


def read_histories(stages):
    """Name -> History of `stages`, in their order."""
    histories = OrderedDict()
    for name, values in stages.items():
        before = 0 if values.from_ == START else histories[values.from_].after
        histories[name] = History(before, read_epochs(needed(CURVES.format(name))))
    return histories


def read_epochs(path):
    """The Epochs of a CSV with their columns and others; Refusal naming file and line."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        missing = [name for name in Epoch._fields if name not in (rows.fieldnames or ())]
        if missing:
            raise Refusal("{}: the column {} is missing: train this stage again".format(path, missing[0]))
        epochs = [_epoch(row, "{}: line {}".format(path, rows.line_num)) for row in rows]
    if [epoch.epoch for epoch in epochs] != list(range(len(epochs))) or not epochs:
        raise Refusal(
            "{}: expected the epochs from 0 on, found {}: train this stage again".format(
                path, [epoch.epoch for epoch in epochs][:5]
            )
        )
    return epochs


def _epoch(row, where):
    texts = [row[name] for name in Epoch._fields]
    try:
        epoch = Epoch(int(texts[0]), float(texts[1]), float(texts[2]))
    except (TypeError, ValueError):
        epoch = None
    if epoch is None or not all(map(math.isfinite, epoch)):
        raise Refusal(
            "{}: expected an epoch and two finite losses, found {}: train this stage again".format(
                where, texts
            )
        )
    return epoch


def write_histories(path, stages, histories):
    """Write all epochs as CSV with COLUMNS, stage by stage, atomically.

    kernel: as it was when the stage began. total_epoch goes on over the stages that a stage rests on, so a
    control stands beside its stage.
    """
    with replacing(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, history in histories.items():
            kernel = "centroids" if stages[name].makes_centroids else "random"
            for number, *losses in history.epochs:
                total = history.before + number
                writer.writerow([name, kernel, stages[name].classes, number, total] + losses)


def stage_metrics(stages, histories, pair):
    """First epochs of the compared pair, and the epochs and last losses of the stages that are no control."""
    metrics, (centroids, control) = {}, pair
    if centroids is not None:
        metrics["centroid_first_epoch_loss"] = histories[centroids].epochs[0].trn_loss
    if control is not None:
        metrics["random_first_epoch_loss"] = histories[control].epochs[0].trn_loss
        metrics["drop"] = metrics["random_first_epoch_loss"] - metrics["centroid_first_epoch_loss"]
    chain = [histories[name] for name, values in stages.items() if not values.is_control]
    metrics["stages"] = len(chain)
    metrics["epochs"] = sum(len(history.epochs) for history in chain)
    metrics["trn_loss"], metrics["val_loss"] = chain[-1].epochs[-1][1:]
    return metrics


def evidence_of(histories, pair, inferred, metrics):
    """The EvidenceFile of the losses of the compared pair, and of the differences among the `metrics`.

    An epoch's mean loss is stated, not computed again: a training records the losses of some steps only.
    """
    keys = ("centroid_first_epoch_loss", "random_first_epoch_loss")
    compared = [(key, name) for key, name in zip(keys, pair) if name is not None]
    curves = {name: [epoch.trn_loss for epoch in histories[name].epochs] for _, name in compared}
    first, last = EVIDENCE.format(inferred[0]), EVIDENCE.format(inferred[-1])
    gained = [prefix + key for key in VALUES for prefix in ("", NORMALISED)]
    rows = [Difference(key + "_gain", last, key, first, key) for key in gained]
    rows.append(Difference("normalisation_gain", last, NORMALISED + VALUES[0], last, VALUES[0]))
    rows.append(Difference("drop", HERE, keys[1], HERE, keys[0]))
    return EvidenceFile(
        LossCurves(curves, {key: (name, 0) for key, name in compared}),
        Differences(tuple(row for row in rows if row.key in metrics)),
    )


def read_metrics(name):
    with open(needed(INFERENCE.format(name)), encoding="utf-8") as file:
        return json.load(file)


def inference_metrics(values):
    """Of the metrics of the inferred stages: what the last one gains on the first, without and with
    normalisation, and what normalisation brings it."""
    metrics, (first, last) = {}, (values[0], values[-1])
    for key in VALUES:
        for name in (key, NORMALISED + key):
            if len(values) > 1 and name in first and name in last:
                metrics[name + "_gain"] = last[name] - first[name]
    if NORMALISED + VALUES[0] in last:
        metrics["normalisation_gain"] = last[NORMALISED + VALUES[0]] - last[VALUES[0]]
    return metrics


if __name__ == "__main__":
    run_stage(main)
