"""What a forecast is made of and from: a row a stage, the hardware, and how many pictures there are."""

from __future__ import annotations

from dataclasses import dataclass

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
    """One stage: pictures (or pairs, rows) handled, hours on the given hardware, gigabytes written."""

    stage: str
    amount: int
    of: str
    hours: float | None
    gigabytes: float
    basis: str


@dataclass(frozen=True)
class Hardware:
    """What the run may use at the same time."""

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


def classes(parameters, amounts):
    """Classes of the training set of a system whose section is `parameters`."""
    return -(-amounts.training // parameters["generate"]["every"])


def checkpoints_kept(train):
    """Checkpoints that lie in a run's folder in the end."""
    return train["epochs"] if train.get("keep_checkpoints", "all") == "all" else 1
