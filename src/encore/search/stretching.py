"""Descriptor stretching: a query's length tells how many training images it resembles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encore.runtime.refusal import Refusal
from encore.search.nearest import nearest

REDUCTIONS = ("avg", "min")


@dataclass(frozen=True)
class Stretching:
    """How queries are stretched: `neighbours` n, `factor`, and `reduction` of the n inner products to t.

    "avg" takes their mean, "min" the n-th best. Published: n 5, factor -2.5, avg; alternatives -2.0 and -3.0.
    """

    neighbours: int = 5
    factor: float = -2.5
    reduction: str = "avg"

    def __post_init__(self):
        if self.reduction not in REDUCTIONS:
            raise Refusal(
                "expected stretching reduction to be one of {}, found {!r}".format(REDUCTIONS, self.reduction)
            )
        if self.neighbours < 1:
            raise Refusal("expected stretching neighbours to be at least 1, found {}".format(self.neighbours))

    def training_similarity(self, queries, training):
        """t float32 (q,): the reduced inner products with the n nearest of `training` (float32 (m, d))."""
        if len(training) < self.neighbours:
            raise Refusal(
                "expected at least {} training descriptors for stretching, found {}".format(
                    self.neighbours, len(training)
                )
            )
        score, _ = nearest(queries, training, self.neighbours)
        return score[:, -1] if self.reduction == "min" else score.mean(axis=1, dtype=np.float32)

    def stretched(self, queries, training):
        """q * (-t) * factor for every row q of `queries`: float32 (q, d), not normalised (spec isc-track2
        3)."""
        lengths = -self.training_similarity(queries, training) * np.float32(self.factor)
        return (np.asarray(queries, dtype=np.float32) * lengths[:, None]).astype(np.float32)


PUBLISHED = Stretching()
