"""Numerical faults in the pre-training of backbones: Momentum²-Teacher and Barlow Twins."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from encore.data.image_source import open_source
from encore.models.isc_network import IscShape
from encore.runtime.safe_load import safe_load
from encore.systems import barlow_twins
from encore.systems.momentum2_teacher import checkpoints, pretraining
from encore.systems.momentum2_teacher.recipe import Momentum2Recipe
from faults.numerical.refused_run import KINDS, Trainer, refused_rows

SHORT = ("NaN loss", "constant batch")
SIZE = dict(seed=7, size=24, batch=8, epochs=2, warm_up_epochs=1, workers=0)
LAYERS = (1, 1, 1, 1)
MOMENTUM2 = Momentum2Recipe(
    shape=IscShape(LAYERS, 4, matrix=None, ibn=True),
    replicas=2,
    learning_rate=1.0,
    hidden=16,
    embedding=8,
    **SIZE,
)
BARLOW = barlow_twins.PretrainingRecipe(layers=LAYERS, width=4, projector=(16, 16), **SIZE)
IMAGES = 24
MADE = "start"


def rows(full):
    """Yield the Rows; full: every kind."""
    with tempfile.TemporaryDirectory() as place:
        pictures = Path(place) / "pictures"
        names = draw_pictures(pictures)
        for trainer in (momentum2_trainer(pictures, names), barlow_trainer(pictures, names)):
            yield from refused_rows(trainer, KINDS if full else SHORT)


def draw_pictures(folder, images=IMAGES):
    """PNG files of 32 x 32, each noise around a colour of its own -> their names."""
    folder.mkdir(parents=True)
    names = [f"{number:02d}.png" for number in range(images)]
    for number, name in enumerate(names):
        draws = np.random.RandomState(number)
        pixels = draws.randint(0, 256, 3) * 3 // 4 + draws.randint(0, 64, (32, 32, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
    return frozenset(names)


def momentum2_trainer(pictures, names, recipe=MOMENTUM2):
    """The Trainer of Momentum²-Teacher on the pictures in a folder."""

    def train(folder):
        pretraining.pretrain(
            recipe, open_source(str(pictures)), str(folder), str(folder / MADE), device="cpu"
        )

    def left(folder):
        content = checkpoints.load(str(folder / checkpoints.NAME))
        return dict(
            state=content, history=(folder / "history.jsonl").read_bytes(), made=(folder / MADE).read_bytes()
        )

    loss = (pretraining, "agreement_loss")
    return Trainer("isc_track1_pretrain", train, left, (1, 1), recipe.batch, names, loss, _scaled)


def barlow_trainer(pictures, names, recipe=BARLOW):
    """The Trainer of Barlow Twins on the pictures in a folder."""

    def train(folder):
        barlow_twins.pretrain(recipe, open_source(str(pictures)), str(folder), str(folder / MADE), "cpu")

    def left(folder):
        (state,) = folder.glob("work_*.pth.tar")
        return dict(state=state.name, content=safe_load(str(state)), made=(folder / MADE).read_bytes())

    loss = (barlow_twins, "barlow_twins")
    return Trainer("isc_track2_pretrain", train, left, (1, 1), recipe.batch, names, loss, _scaled)


def _scaled(loss, factor):
    return loss * factor
