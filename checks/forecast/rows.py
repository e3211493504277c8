"""What a forecast is made of and from: a row a stage, the hardware, and how many pictures there are."""

from __future__ import annotations

from dataclasses import dataclass

from checks.forecast.rates_of import StepRate

BYTES_PER_PIXEL = 0.8
"""JPEG of quality 100: the bound that the stages themselves ask for."""
BYTES_A_PICTURE = 400000
"""JPEG of quality 100 with about a megapixel: what the stage isc_overlays/generate asks for."""
NAME_BYTES = 64
"""What a descriptor needs on disk beside its numbers, at most: the picture's name."""
CHECKPOINT_COPIES = 3
"""Weights and both moments of Adam."""


@dataclass(frozen=True)
class Row:
    """One stage: pictures (or pairs, rows) handled, hours on the given hardware, gigabytes written.

    `low`, `high`: the 95 % interval of the hours where measured growth is part of them; `memory`: peak of
    the stage's processes in gigabytes, at the upper end of its interval; `objects`: what DVC keeps; None: not
    known. `starts`: processes that start one after the other, as DVC calls them.
    """

    stage: str
    amount: int
    of: str
    hours: float | None
    gigabytes: float
    basis: str
    low: float | None = None
    high: float | None = None
    memory: float | None = None
    objects: int | None = None
    starts: int = 1


@dataclass(frozen=True)
class Hardware:
    """What the run may use at the same time; no GPUs: networks run on the CPU, in one process."""

    cores: int
    gpus: int


@dataclass(frozen=True)
class Amounts:
    """Sizes of the raw data in pictures."""

    training: int
    references: int
    queries: int
    face_candidates: int
    pair_queries: int
    """Queries of the given pairs, or the pictures that pairs are made of."""


def hours_of(amount, rate, devices):
    """Hours of `amount` at `rate` (a Rate, of one device); None where nobody measured it."""
    return None if rate.value is None else amount / rate.value / max(1, devices) / 3600


def network_hours(pictures, per_picture, batch, rate, devices, passes):
    """Hours of `pictures` through a network of `per_picture` multiply-adds, forward; None where nobody
    measured.

    passes: what a picture costs in forward passes (3 with the backward one). A Rate of multiply-adds a
    second, or a StepRate, by which a step of `batch` pictures costs what its forward multiply-adds say.
    """
    if per_picture is None:
        return None
    if isinstance(rate, StepRate):
        step = rate.curve.at(batch * per_picture)
        return None if step is None else pictures / batch * step.value * passes / rate.passes / 3600
    return hours_of(passes * pictures * per_picture, rate, devices)


def classes(parameters, amounts):
    """Classes of the training set of a system whose section is `parameters`."""
    return -(-amounts.training // parameters["generate"]["every"])


def checkpoints_kept(train):
    """Checkpoints that lie in a run's folder in the end."""
    return train["epochs"] if train.get("keep_checkpoints", "all") == "all" else 1
