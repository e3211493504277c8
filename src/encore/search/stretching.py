"""Descriptor stretching: a query's length tells how many training images it resembles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encore.search.training_similarity import check_reduction, training_similarity


@dataclass(frozen=True)
class Stretching:
    """How queries are stretched: `neighbours` n, `factor`, and `reduction` of the n inner products to t.

    "avg" takes their mean, "min" the n-th best. Published: n 5, factor -2.5, avg; alternatives -2.0 and -3.0.
    """

    neighbours: int = 5
    factor: float = -2.5
    reduction: str = "avg"

    def __post_init__(self):
        check_reduction("stretching", self.neighbours, self.reduction)

    def training_similarity(self, queries, training, search=None):
        """t float32 (q,): the reduced inner products with the n nearest of `training` (float32 (m, d)).

        `search`: instead of `nearest.nearest`, such as that of a SpreadSearch.
        """
        return training_similarity(
            "stretching", queries, training, self.neighbours, self.reduction, search=search
        )

    def stretched(self, queries, training, search=None):
        """q * (-t) * factor for every row q of `queries`: float32 (q, d), not normalised (spec isc-track2
        3)."""
        lengths = -self.training_similarity(queries, training, search) * np.float32(self.factor)
        return (np.asarray(queries, dtype=np.float32) * lengths[:, None]).astype(np.float32)


PUBLISHED = Stretching()
