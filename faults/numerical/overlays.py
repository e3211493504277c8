"""The trainer of the overlay detector under numerical faults."""

from __future__ import annotations

import os

from encore.runtime.safe_load import safe_load
from encore.systems.isc_overlays.training import CHECKPOINT, train
from encore.systems.isc_overlays.training_set import read_overlay_set
from faults.numerical.trainer import Trainer
from faults.processes import tiny_overlays


def _train(size, folder):
    labelled = read_overlay_set(os.path.join(size, "data", "isc_overlays"))
    train(tiny_overlays.recipe(size), labelled, os.path.join(folder, "run"), device="cpu")


def _constant(batch):
    frames, boxes, labels = batch
    return frames[:1].expand_as(frames).contiguous(), boxes, labels


OVERLAYS = Trainer(
    "isc_overlays_train",
    tiny_overlays.build,
    _train,
    safe_load,
    lambda folder: os.path.join(folder, "run", CHECKPOINT),
    _constant,
)
