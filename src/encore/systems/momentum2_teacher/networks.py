"""Student and teacher of Momentum²-Teacher."""

from __future__ import annotations

import functools

import torch
import torch.nn as nn
import torch.nn.functional as F

from encore.models.momentum_batch_norm import MomentumBatchNorm
from encore.models.resnet import ResNet
from encore.runtime.seeds import derive_seed
from encore.systems.momentum2_teacher.recipe import SYSTEM


class Normalise(nn.Module):
    """Rows (n, c) -> the same rows with length 1."""

    def forward(self, x):
        return F.normalize(x, dim=1)


def _block(inputs, hidden, outputs, norm):
    return [nn.Linear(inputs, hidden), norm(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs)]


class Pair(nn.Module):
    """Student and teacher, each images (n, 3, h, w) -> unit vectors (n, embedding).

    recipe: a Momentum2Recipe; total: iterations of the whole run. State-dict names are the published ones,
    `student_encoder.*` and `teacher_encoder.*`. The student's `fc` is projector and predictor, the teacher's
    the projector only, so that the teacher's parameters are the first ones of the student, in the same order.
    """

    def __init__(self, recipe, total):
        super().__init__()
        self.student_encoder = _encoder(recipe, nn.BatchNorm2d, nn.BatchNorm1d, predictor=True)
        momentum_norm = functools.partial(MomentumBatchNorm, total=total)
        self.teacher_encoder = _encoder(recipe, momentum_norm, momentum_norm, predictor=False)
        for parameter in self.teacher_encoder.parameters():
            parameter.requires_grad_(False)
        self.follow(0.0)

    def follow(self, momentum):
        """teacher <- momentum x teacher + (1 - momentum) x student, parameters paired by their place
        (published: zip), which drops the predictor at the student's end."""
        with torch.no_grad():
            pairs = zip(self.teacher_encoder.parameters(), self.student_encoder.parameters())
            for teacher, student in pairs:
                teacher.mul_(momentum).add_(student, alpha=1.0 - momentum)

    def momentum_norms(self):
        """The teacher's MomentumBatchNorm layers, in order."""
        return [part for part in self.teacher_encoder.modules() if isinstance(part, MomentumBatchNorm)]


def build_pair(recipe, total):
    """Pair with initial weights from recipe.seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(recipe.seed, SYSTEM, "initial weights"))
        return Pair(recipe, total)


def _encoder(recipe, norm, norm_of_rows, predictor):
    shape = recipe.shape
    network = ResNet(shape.layers, shape.width, classes=None, ibn=shape.ibn, norm=norm)
    layers = _block(network.features, recipe.hidden, recipe.embedding, norm_of_rows)
    if predictor:
        layers += _block(recipe.embedding, recipe.hidden, recipe.embedding, norm_of_rows)
    network.fc = nn.Sequential(*layers, Normalise())
    return network
