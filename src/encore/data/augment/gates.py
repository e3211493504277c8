"""When a step fires: the gates of torchvision 0.8.2, which compare in float32."""

from __future__ import annotations

import numpy as np


def as_float32(probability):
    """The float32 nearest to `probability`, as a Python float.

    torch compares a Python number with a float32 tensor in float32. A draw is a multiple of 2^-24, so it
    meets float32(0.3) exactly about once in 17 million draws: a double comparison would decide those the
    other way.
    """
    return float(np.float32(probability))


class Always:
    """A step without a gate: nothing is drawn for it."""

    def __init__(self, step):
        self.step = step

    def __call__(self, image, draws):
        return self.step(image, draws), True


class RandomApply:
    """torchvision's RandomApply: draws once, also for probability 1; skips where `probability < draw`."""

    def __init__(self, probability, step):
        self.threshold = as_float32(probability)
        self.step = step

    def __call__(self, image, draws):
        if self.threshold < draws.rand():
            return image, False
        return self.step(image, draws), True


class RandomBelow:
    """The gate inside RandomGrayscale and RandomHorizontalFlip: draws once; fires where `draw <
    probability`.
    """

    def __init__(self, probability, step):
        self.threshold = as_float32(probability)
        self.step = step

    def __call__(self, image, draws):
        if draws.rand() < self.threshold:
            return self.step(image, draws), True
        return image, False
