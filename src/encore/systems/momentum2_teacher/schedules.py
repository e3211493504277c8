"""Learning rate and teacher momentum of Momentum²-Teacher, per iteration (spec isc-track1-training 2.2)."""

from __future__ import annotations

import math

FIRST_RATE = 1e-6
"""Learning rate of the very first step, and where the warm-up starts."""


def rate_after(iteration, base, per_epoch, epochs, warm_up_epochs=10):
    """The learning rate set after `iteration` (counted from 1), which the next step uses.

    base: its highest value; per_epoch: iterations of an epoch. Linear from 1e-6 over the warm-up, then a
    cosine down to 0 at the end of the run.
    """
    warm_up, total = warm_up_epochs * per_epoch, epochs * per_epoch
    if iteration <= warm_up:
        return FIRST_RATE + (base - FIRST_RATE) * iteration / warm_up
    return base * 0.5 * (1.0 + math.cos(math.pi * (iteration - warm_up) / (total - warm_up)))


def teacher_momentum(iteration, total, first=0.99):
    """Share of its old weights that the teacher keeps before `iteration` (counted from 0) of `total`: from
    `first` to 1."""
    return 1.0 - (1.0 - first) * (math.cos(math.pi * iteration / total) + 1) / 2.0
