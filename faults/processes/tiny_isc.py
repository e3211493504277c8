"""A tiny size of the training of ISC 2021's Track 2: 32 drawn pictures, a network of 5,000 parameters."""

from __future__ import annotations

import os

import numpy as np
import torch
import yaml
from PIL import Image

from encore.models.resnet import ResNet

SYSTEM = "isc_track2"
MODULE = "stages.isc_track2.train"
WORK = ".work/isc_track2.train/*"
OUTPUT = "models/isc_track2/logs"
LAST = "checkpoint_1.pth.tar"
STEPS = 8
"""Of each of two epochs."""


def build(folder, **train):
    """Make the size in the new `folder`; train: values of the section isc_track2.train that differ."""
    data, models = (os.path.join(folder, *parts) for parts in (("data", "isc_100k_256"), ("models", SYSTEM)))
    os.makedirs(data)
    os.makedirs(models)
    draw = np.random.RandomState(0)
    for number in range(8):
        pattern = Image.fromarray(draw.randint(0, 256, (4, 4, 3)).astype(np.uint8)).resize((32, 32))
        for copy in range(4):
            noisy = np.asarray(pattern).astype(int) + draw.randint(-20, 21, (32, 32, 3))
            picture = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
            picture.save(os.path.join(data, f"{number}_{copy}.png"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(ResNet((1, 1, 1, 1), 2, classes=None).state_dict(), os.path.join(models, "start.pth"))
    values = dict(seed=0, height=32, width=32, pad=2, batch=16, instances=2, learning_rate=0.01, epochs=2)
    values.update(iterations=STEPS, schedule=[1, 2, 3], print_every=1, save_every=2, workers=0)
    values.update(train)
    network = dict(layers=[1, 1, 1, 1], width=2, hidden=16, embedding=32, matrix=8)
    with open(os.path.join(folder, "params.yaml"), "w", encoding="utf-8") as file:
        yaml.safe_dump({SYSTEM: {"network": network, "train": values}}, file)
