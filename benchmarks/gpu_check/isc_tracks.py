"""Training steps of both tracks on a small network: its parts are those of the system."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from benchmarks.gpu_check.agreement import Steps, in_double
from encore.models.isc_network import IscShape
from encore.systems.isc.recipe import TrainingRecipe
from encore.systems.isc.training import IscTraining
from encore.training.distributed import ALONE
from encore.training.optimizer_state import trainable

RECIPE = TrainingRecipe(
    seed=1,
    shape=IscShape((1, 1, 1, 1), width=16, hidden=64, embedding=128, matrix=32),
    height=64,
    width=64,
    batch=32,
    iterations=5,
    workers=0,
)
TRACK1_RECIPE = replace(
    RECIPE, system="isc_track1", shape=replace(RECIPE.shape, layers=(1, 2, 1, 1), matrix=None, ibn=True)
)
"""Track 1 has no matrix head, and one of its backbones is IBN-a."""
FULL_RATE = 5  # the epoch in which the published schedule reaches the whole learning rate


class PatternedSet:
    """A training set in memory: `classes` x `copies` PNG pictures, one random pattern a class, with noise."""

    def __init__(self, classes=16, copies=4, size=64):
        draw = np.random.RandomState(0)
        self.names, self._data = [], []
        for number in range(classes):
            pattern = draw.randint(0, 256, (4, 4, 3)).repeat(size // 4, 0).repeat(size // 4, 1)
            for copy in range(copies):
                pixels = np.clip(pattern + draw.randint(-20, 21, pattern.shape), 0, 255).astype(np.uint8)
                file = io.BytesIO()
                Image.fromarray(pixels).save(file, "PNG")
                self.names.append("{}_{}.jpg".format(number, copy))
                self._data.append(file.getvalue())

    def __len__(self):
        return len(self.names)

    def read(self, i):
        return self._data[i]


def training_steps(device, dtype, recipe=RECIPE):
    """`recipe.iterations` steps from the recipe's initial weights -> Steps."""
    training = IscTraining(recipe, PatternedSet(), ALONE, device)
    training.network.to(dtype)
    training.to_device()
    trained = trainable(training.network)
    start, losses, gradients = in_double(trained), [], None
    for step in range(recipe.iterations):
        images, labels = training.batches[(FULL_RATE, step)]
        losses.append(training.step(FULL_RATE, step, (images.to(dtype), labels)).loss)
        if step == 0:
            gradients = in_double({name: parameter.grad for name, parameter in trained.items()})
    return Steps(torch.tensor(losses, dtype=torch.float64), gradients, start, in_double(trained))
