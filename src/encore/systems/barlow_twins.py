"""Barlow Twins pre-training of the backbone (Zbontar et al. 2021), which makes the start weights of ISC Track
2.

Published: ResNet-50, 1000 epochs of ImageNet in batches of 2048, projector 8192-8192-8192, lambda 0.0051,
LARS with weights at 0.2 and biases at 0.0048 (times batch / 256), 10 epochs of warm-up, cosine to a
thousandth; about 7 days on 16 V100. The published weights are downloaded, not made again; this makes a
backbone for a small run, in one process.
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass
from typing import NamedTuple, Tuple

import torch
import torch.nn as nn

from encore.data.training_transform import normalised
from encore.data.two_views import published_views
from encore.data.view_batches import TwoViewBatches, permutation
from encore.losses.barlow_twins import barlow_twins
from encore.models.resnet import RESNET50_LAYERS, ResNet
from encore.runtime.numerics import exact
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.runtime.shared_memory import loader_bytes
from encore.training import checkpoint_files
from encore.training.lars import Lars
from encore.training.learning_rate import warm_up_cosine
from encore.training.loop import Position, Run, StepResult, refuse_unless_finite, train

SYSTEM = "barlow_twins"


@dataclass(frozen=True)
class PretrainingRecipe:
    """Everything a pre-training run depends on; the defaults are the published values."""

    seed: int = 0
    layers: Tuple[int, ...] = RESNET50_LAYERS
    width: int = 64
    """Channels after the first convolution."""
    size: int = 224
    batch: int = 2048
    epochs: int = 1000
    warm_up_epochs: int = 10
    projector: Tuple[int, ...] = (8192, 8192, 8192)
    off_diagonal_weight: float = 0.0051
    learning_rate_weights: float = 0.2
    learning_rate_biases: float = 0.0048
    momentum: float = 0.9
    trust: float = 0.001
    weight_decay: float = 1e-6
    workers: int = 8

    def __post_init__(self):
        for name in ("width", "size", "epochs"):
            if getattr(self, name) < 1:
                raise Refusal("pretraining.%s must be at least 1, found %d" % (name, getattr(self, name)))
        if self.batch < 2 or self.warm_up_epochs >= self.epochs:
            raise Refusal(
                "pretraining.batch must be at least 2 and warm_up_epochs below epochs, found %d "
                "and %d of %d" % (self.batch, self.warm_up_epochs, self.epochs)
            )

    def shared_memory(self):
        """Bytes of shared memory that the loader's batches of two uint8 views need."""
        return loader_bytes(self.workers, 2 * self.batch * 3 * self.size**2)


class Pretrained(NamedTuple):
    """Result of `pretrain`: number of steps, loss of each."""

    steps: int
    losses: Tuple[float, ...]


def projector(features, widths):
    """Linear, BatchNorm, ReLU between the given widths; the last layer linear only; no biases before
    BatchNorm."""
    widths = [features] + list(widths)
    layers = []
    for inputs, outputs in zip(widths[:-2], widths[1:-1]):
        layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1], bias=False))


class _SeededView:
    """A view that takes its seed instead of a generator."""

    def __init__(self, view):
        self.view = view

    def __call__(self, image, seed):
        return self.view(image, random.Random(seed))


def two_views(source, recipe):
    """The batches of a run: an epoch is a permutation of the source; Refusal for less than a batch."""
    iterations = len(source) // recipe.batch
    if iterations == 0:
        raise Refusal(
            "pre-training needs one batch of %d images at least, found %d: lower "
            "pretraining.batch" % (recipe.batch, len(source))
        )
    rows = functools.partial(_rows, recipe, len(source))
    views = [_SeededView(view) for view in published_views(recipe.size)]
    return TwoViewBatches(source, views, rows, iterations, recipe.seed, SYSTEM)


def _rows(recipe, count, epoch, step):
    return permutation(recipe.seed, SYSTEM, epoch, count)[step * recipe.batch : (step + 1) * recipe.batch]


@exact()
def pretrain(recipe: PretrainingRecipe, source, path, device=None):
    """Pre-train on an image source (`len`, `names`, `read(i)`) -> Pretrained.

    Writes the backbone's bare state dict with torchvision's names and without fc to `path`, atomically.
    Raises Refusal for images and values that do not fit, and for a loss that is not finite.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    views = two_views(source, recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(recipe.seed, SYSTEM, "initial weights"))
        backbone = ResNet(recipe.layers, recipe.width, classes=None).to(device).train()
        head = projector(backbone.features, recipe.projector).to(device).train()
    parameters = list(backbone.parameters()) + list(head.parameters())
    groups = [
        dict(params=[p for p in parameters if p.dim() > 1], scale=recipe.learning_rate_weights),
        dict(params=[p for p in parameters if p.dim() == 1], scale=recipe.learning_rate_biases),
    ]
    optimizer = Lars(groups, 0.0, recipe.momentum, recipe.trust, recipe.weight_decay)
    losses = []

    def step(epoch, number, pair):
        first, second = (head(backbone(normalised(view).to(device))) for view in pair)
        loss = barlow_twins(first, second, recipe.off_diagonal_weight)
        refuse_unless_finite(loss.item(), {}, epoch, number)
        factor = (
            warm_up_cosine(
                epoch * views.iterations + number,
                recipe.epochs * views.iterations,
                recipe.warm_up_epochs * views.iterations,
            )
            * recipe.batch
            / 256
        )
        for group in optimizer.param_groups:
            group["lr"] = group["scale"] * factor
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        return StepResult(loss.item(), {}, factor)

    run = Run(
        recipe.epochs,
        views.iterations,
        lambda epoch, first: views.batches(epoch, first, recipe.workers),
        step,
        save=lambda position: None,
    )
    steps = train(run, Position(0, 0), "%s pre-training" % SYSTEM)
    checkpoint_files.save(path, {name: value.cpu() for name, value in backbone.state_dict().items()})
    return Pretrained(steps, tuple(losses))
