"""Normalisation of queries by their nearest training pictures, "TRN sample normalisation" (spec drip 6.5).

A query moves away from the training pictures it resembles, the farther the more it resembles them. With
scores by L2 distance its greater length also makes its matches less certain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encore.runtime.refusal import Refusal
from encore.search.nearest import nearest
from encore.search.tiling import rows_of

NORMS_OVER = ("neighbours", "dimensions")
BLOCK = 128
"""Queries whose differences from all their neighbours are in memory at a time: 13 MB at 100 x 256."""


@dataclass(frozen=True)
class TrainingNormalisation:
    """q' = q + `factor` * sqrt(mean cosine of the `similar` nearest) * g; g is the unit mean of the scaled
    differences q - t_k from the `neighbours` nearest training descriptors t_k.

    Published quirk: the differences are scaled to norm 1 over the neighbours, dimension by dimension.
    `norms_over` "dimensions" scales each difference to norm 1, which was surely meant.
    """

    neighbours: int = 100
    factor: float = 1.8
    similar: int = 3
    norms_over: str = "neighbours"

    def __post_init__(self):
        if not 1 <= self.similar <= self.neighbours:
            raise Refusal(
                "expected 1 <= similar <= neighbours in training normalisation, found similar {} and "
                "neighbours {}".format(self.similar, self.neighbours)
            )
        if self.norms_over not in NORMS_OVER:
            raise Refusal(
                "expected norms_over of training normalisation to be one of {}, found {!r}".format(
                    NORMS_OVER, self.norms_over
                )
            )

    def normalised(self, queries, training, products=None):
        """The normalised `queries`: float32 (q, d), not L2-normalised again, as published.

        `queries`, `training`: unit float32 (q, d) and (m, d), in memory or sets of `tiling`, which are read
        into memory. `products`: by what the squared L2 distances of the exact search are computed. Refuses
        fewer training descriptors than `neighbours`, and a query that has no such place (published: NaN): the
        mean cosine is negative, or the query is equal to all neighbours in one dimension.
        """
        queries, training = (
            _in_memory(rows, what) for rows, what in ((queries, "query"), (training, "training"))
        )
        if len(training) < self.neighbours:
            raise Refusal(
                "expected at least {} training descriptors for training normalisation, found {}: extract "
                "more, or lower neighbours".format(self.neighbours, len(training))
            )
        if products is not None and products.metric != "squared_l2":
            raise ValueError("training neighbours are searched by squared_l2, not " + products.metric)
        score, index = nearest(queries, training, self.neighbours, "squared_l2", products)
        steps = self._steps(1 + score / 2)  # C = 1 - D / 2; the score is -D
        moved = np.empty_like(queries)
        for first in range(0, len(queries), BLOCK):
            rows = slice(first, first + BLOCK)
            away = self._directions(queries[rows, None] - training[index[rows]], first)
            moved[rows] = queries[rows] + steps[rows, None] * away
        return moved

    def _steps(self, cosines):
        """float32 (q,): how far each query moves; `cosines` (q, neighbours), highest first."""
        similarity = cosines[:, : self.similar].mean(axis=1)
        opposite = np.flatnonzero(similarity < 0)
        if len(opposite):
            raise Refusal(
                "expected queries that resemble training pictures, found mean cosine {:.4f} in query row {} "
                "({} rows in all): check that both sets are L2-normalised descriptors of one model".format(
                    similarity[opposite[0]], opposite[0], len(opposite)
                )
            )
        return np.float32(self.factor) * np.sqrt(similarity)

    def _directions(self, differences, first):
        """Unit float32 (b, d) from `differences` (b, neighbours, d), which is overwritten; `first`: row of
        the first query."""
        # Published quirk: axis 1, over the neighbours; each difference on its own would be axis 2.
        axis = 1 + NORMS_OVER.index(self.norms_over)
        with np.errstate(divide="ignore", invalid="ignore"):
            differences /= np.linalg.norm(differences, axis=axis, keepdims=True)
            mean = differences.mean(axis=1)
            mean /= np.linalg.norm(mean, axis=1, keepdims=True)
        undefined = np.flatnonzero(~np.isfinite(mean).all(axis=1))
        if len(undefined):
            raise Refusal(
                "expected queries that differ from their training neighbours, found none of a direction in "
                "query row {}: leave that query out, or its copies among the training pictures".format(
                    first + undefined[0]
                )
            )
        return mean


PUBLISHED = TrainingNormalisation()


def _in_memory(vectors, what):
    rows = rows_of(vectors, what)
    return np.asarray(rows.read(0, rows.shape[0]), dtype=np.float32)
