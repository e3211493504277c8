"""Numerical faults in the training of ISC 2021 (both tracks share it) and of the overlay detector."""

from __future__ import annotations

import os
import tempfile

from encore.data.image_source import open_source
from encore.systems.isc.parameters import training_recipe
from encore.systems.isc.training import train
from encore.training import checkpoint
from faults.numerical.overlays import OVERLAYS
from faults.numerical.replayed import replay_row
from faults.numerical.trainer import FAULTS, SHORT, Trainer, numerical_rows
from faults.processes import tiny_isc, tiny_overlays


def rows(full):
    """Yield the Rows; full: also --replay-step by the stages' command lines."""
    kinds = tuple(FAULTS) if full else SHORT
    for trainer, size in ((ISC, tiny_isc), (OVERLAYS, tiny_overlays)):
        with tempfile.TemporaryDirectory() as folder:
            yield from numerical_rows(trainer, folder, kinds=kinds)
        if full:
            yield replay_row(trainer.place, size)


def _train(size, folder):
    recipe = training_recipe(os.path.join(size, "params.yaml"), tiny_isc.SYSTEM)
    data = open_source(os.path.join(size, "data", "isc_100k_256"))
    start = os.path.join(size, "models", tiny_isc.SYSTEM, "start.pth")
    train(recipe, data, start, os.path.join(folder, "logs"), auto_resume=True, device="cpu")


def _constant(batch):
    images, labels = batch
    return images[:1].expand_as(images).contiguous(), labels


ISC = Trainer(
    "isc_track2_train",
    lambda size: tiny_isc.build(size, iterations=3),
    _train,
    checkpoint.load,
    lambda folder: os.path.join(folder, "logs", tiny_isc.LAST),
    _constant,
)
