"""A tiny size of the training of the overlay detector: 30 drawn pictures of 48 pixels."""

from __future__ import annotations

import os

import numpy as np
import yaml
from PIL import Image

from encore.runtime.parameters import read_parameters
from encore.systems.isc_overlays.recipe import DetectorRecipe
from encore.systems.isc_overlays.training_set import GenerateParameters, generate_overlay_set

SYSTEM = "isc_overlays"
MODULE = "stages.isc_overlays.train"
WORK = ".work/isc_overlays.train/*"
OUTPUT = "models/isc_overlays"


def build(folder, **train):
    """Make the size in the new `folder`; train: values of the section isc_overlays.train that differ."""
    draw = np.random.RandomState(0)
    for name, count in (("training", 10), ("foreign", 4)):
        os.makedirs(os.path.join(folder, name))
        for i in range(count):
            pixels = draw.randint(0, 256, (6, 6, 3)).astype(np.uint8)
            picture = Image.fromarray(pixels).resize((48, 48), Image.Resampling.BICUBIC)
            picture.save(os.path.join(folder, name, f"{name[0].upper()}{i:06d}.png"))
    data = os.path.join(folder, "data", SYSTEM)
    os.makedirs(data)
    made = GenerateParameters(
        images=os.path.join(folder, "training"),
        every=1,
        copies=3,
        validation=0.3,
        quality=100,
        foreign=os.path.join(folder, "foreign"),
        foreign_pictures=4,
        pictures_per_shard=4,
    )
    generate_overlay_set(data, made, "digest")
    shape = dict(layers=[1, 1, 1, 1], width=4, channels=8, anchors=[12, 24, 40], size=64)
    values = dict(shape=shape, seed=0, batch=4, epochs=2, warm_up_epochs=1, learning_rate=0.002, workers=0)
    values.update(weight_decay=0.05, zoom=0.3, print_every=1, keep_bytes=10**7, start=None)
    values.update(train)
    with open(os.path.join(folder, "params.yaml"), "w", encoding="utf-8") as file:
        yaml.safe_dump({SYSTEM: {"train": values}}, file)


def recipe(folder):
    """The DetectorRecipe of the size in `folder`."""
    return read_parameters(os.path.join(folder, "params.yaml"), "isc_overlays.train", DetectorRecipe)
