"""Iterations a second of recover against a literal implementation, from the same pictures.

`python -m benchmarks.recover` prints JSON. ResNet-18 with weights by seed, 10 pictures of 64 pixels, all
terms of the loss, one thread. The literal side does what the publication describes with torch's plain
operations: a hook at each BatchNorm layer computes mean and variance of its input, and the clamp goes channel
by channel; its teacher is frozen too. Both sides start from the same pictures and draw the same crop, flip
and roll: `difference_of_terms` is the largest relative difference of their first iteration's terms. Times are
CPU seconds.
"""

from __future__ import annotations

import functools
import json
import random
import statistics

import torch
import torch.nn as nn
import torch.nn.functional as F

from benchmarks.reference_division import cpu_seconds
from encore.systems.fkd.networks import NetworkShape, build, frozen
from encore.systems.fkd.recover.curriculum import learning_rate
from encore.systems.fkd.recover.recipe import RecoverRecipe
from encore.systems.fkd.recover.shared_augmentation import draw_augmentation
from encore.systems.fkd.recover.statistics import MatchedTeacher
from encore.systems.fkd.recover.synthesis import BETAS, EPSILON, Synthesis

RECIPE = RecoverRecipe(classes=10, batch=10, size=64, iterations=1000, r_bn=0.05, tv=1e-4, l2=1e-5)
SHAPE = NetworkShape(classes=10)
ITERATIONS = 3
"""A round."""


class Hook:
    """Distance of a layer's input from its running statistics."""

    def __init__(self, layer):
        layer.register_forward_hook(self.compare)

    def compare(self, layer, inputs, output):
        x = inputs[0]
        channels = x.shape[1]
        mean = x.mean([0, 2, 3])
        rows = x.permute(1, 0, 2, 3).contiguous().reshape(channels, -1)
        variance = rows.var(1, unbiased=False)
        self.distance = torch.norm(layer.running_var.data - variance, 2) + torch.norm(
            layer.running_mean.data - mean, 2
        )


class Literal:
    """The batch of `Synthesis`, step by step with plain operations."""

    def __init__(self, recipe, teacher, start):
        self.recipe, self.teacher = recipe, frozen(teacher)
        layers = [layer for layer in teacher.modules() if isinstance(layer, nn.BatchNorm2d)]
        self.hooks = [Hook(layer) for layer in layers]
        self.targets = torch.arange(recipe.classes)
        self.pictures = start.clone().requires_grad_(True)
        self.optimizer = torch.optim.Adam([self.pictures], recipe.learning_rate, BETAS, EPSILON)
        self.generator, self.rolls = streams()
        self.iteration = 0

    def step(self):
        """One update -> the terms of the loss before it."""
        recipe = self.recipe
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, self.iteration)
        drawn = draw_augmentation(recipe, recipe.min_scale, self.generator, self.rolls)
        x = self.augmented(drawn)
        self.optimizer.zero_grad()
        cross_entropy = F.cross_entropy(self.teacher(x), self.targets)
        weights = [recipe.first_bn_multiplier] + [1.0] * (len(self.hooks) - 1)
        batch_norm = sum(hook.distance * weight for hook, weight in zip(self.hooks, weights))
        tv, l2 = self.variation(x), torch.norm(x.reshape(len(x), -1), dim=1).mean()
        loss = cross_entropy + recipe.tv * tv + recipe.l2 * l2 + recipe.r_bn * batch_norm
        loss.backward()
        self.optimizer.step()
        for channel, (mean, deviation) in enumerate(zip(recipe.mean, recipe.deviation)):
            values = self.pictures.data[:, channel]
            self.pictures.data[:, channel] = torch.clamp(values, -mean / deviation, (1 - mean) / deviation)
        self.iteration += 1
        return [term.item() for term in (loss, cross_entropy, batch_norm, tv, l2)]

    def augmented(self, drawn):
        """By torchvision's operations on tensors, written out: it need not be installed here."""
        top, left, height, width = drawn.crop
        x = self.pictures[..., top : top + height, left : left + width]
        x = F.interpolate(x, size=[self.recipe.size] * 2, mode="bilinear", align_corners=False)
        x = x.flip(-1) if drawn.flip else x
        return torch.roll(x, shifts=drawn.roll, dims=(2, 3))

    @staticmethod
    def variation(x):
        across = x[:, :, :, :-1] - x[:, :, :, 1:]
        down = x[:, :, :-1, :] - x[:, :, 1:, :]
        falling = x[:, :, 1:, :-1] - x[:, :, :-1, 1:]
        rising = x[:, :, :-1, :-1] - x[:, :, 1:, 1:]
        return torch.norm(across) + torch.norm(down) + torch.norm(falling) + torch.norm(rising)


def streams():
    generator = torch.Generator()
    generator.manual_seed(1)
    return generator, random.Random(1)


def ours(recipe, start):
    """A Synthesis at the pictures `start` and the beginning of the streams."""
    synthesis = Synthesis(recipe, MatchedTeacher(build(SHAPE, 0)), range(recipe.classes), *streams())
    synthesis.generator.manual_seed(1)  # the noise that it drew is replaced
    with torch.no_grad():
        synthesis.pictures.copy_(start)
    return synthesis


def terms(losses):
    found = (
        losses.total,
        losses.cross_entropy,
        losses.batch_norm,
        losses.total_variation,
        losses.mean_length,
    )
    return [term.item() for term in found]


def run(repeats=15, recipe=RECIPE, iterations=ITERATIONS):
    """Flat dict: iterations a second of both sides (medians), `ratio` (median over alternating rounds) and
    `difference_of_terms`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        start = stored_pictures(recipe)
        first, second = ours(recipe, start), Literal(recipe, build(SHAPE, 0), start)
        pairs = zip(terms(first.step()), second.step())
        difference = max(abs(a - b) / abs(b) for a, b in pairs)
        seconds = {"ours": [], "literal": []}
        for repeat in range(repeats):
            rounds = [("ours", first), ("literal", second)]
            for side, synthesis in rounds if repeat % 2 else rounds[::-1]:
                seconds[side].append(cpu_seconds(functools.partial(several, synthesis, iterations)))
    finally:
        torch.set_num_threads(threads)
    ratios = [b / a for a, b in zip(seconds["ours"], seconds["literal"])]
    return {
        "iterations_per_second": iterations / statistics.median(seconds["ours"]),
        "literal_iterations_per_second": iterations / statistics.median(seconds["literal"]),
        "ratio": statistics.median(ratios),
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
        "difference_of_terms": difference,
        "rounds": repeats,
    }


def several(side, iterations):
    for _ in range(iterations):
        side.step()


def stored_pictures(recipe, iterations=3):
    """Pictures after a few iterations, within the bounds of a pixel."""
    noise = torch.randn((recipe.classes, 3, recipe.size, recipe.size), generator=streams()[0])
    synthesis = ours(recipe, noise)
    several(synthesis, iterations)
    return synthesis.pictures.detach().clone()


if __name__ == "__main__":
    print(json.dumps(run(), indent=1, sort_keys=True))
