"""Copies between two collections of pictures: the best references of every query, by their descriptors.

Score: the inner product of unit vectors, <q, r>; with pictures unlike both it is normalised as in the
winning submission of the matching track (spec isc-track1-test 3): <q, r> - factor * beta(q), beta being the
mean of the inner products of q with its `neighbours` nearest of those pictures. What a query shares with any
picture does not count then, and scores of different queries can be compared. Track 2's stretching serves the
same end in a file of descriptors, where there is no score that something could be taken off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np

from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal
from encore.search.capped import Pairs
from encore.search.nearest import nearest
from encore.search.nearest_in_blocks import block_rows, blocks, nearest_in_blocks
from encore.search.score_normalisation import ScoreNormalisation

MOST_ROWS = 500000
"""Of a prediction file, by the rules of the competition."""
ALL_BUT = 0.99


@dataclass(frozen=True)
class MatchRecipe:
    """What is listed: the `top` references of each query, but `max_rows` rows in all at most, the best."""

    top: int = 5
    max_rows: int = MOST_ROWS
    normalisation: Optional[ScoreNormalisation] = None

    def __post_init__(self):
        for name in ("top", "max_rows"):
            if getattr(self, name) < 1:
                raise Refusal(
                    "--{}: expected 1 or more, found {}".format(name.replace("_", "-"), getattr(self, name))
                )


@dataclass(frozen=True, eq=False)
class Matches:
    """`pairs`: Pairs of row numbers, by falling score, then query, then reference. `left_out`: rows beyond
    the most. `unlike`: the score that 99 % of the queries (all, of less than 100) do not exceed with their
    nearest of the pictures unlike both; None without such."""

    pairs: Pairs
    left_out: int
    unlike: Optional[float]


def match(queries, references, recipe, training=None, products=None):
    """The Matches of `queries` among `references`, by a MatchRecipe.

    All are sets of `tiling` (or float32 (n, d)) of unit vectors; `training`: of pictures unlike both, for a
    recipe with a normalisation. One block of each is in memory at a time (`training`: 65,536 rows). Refusal
    for fewer of them than neighbours.
    """
    norms, unlike = _norms(queries, training, recipe.normalisation, products)
    score, index = _searched(queries, references, recipe.top, products)
    score += norms[:, None]
    query = np.repeat(np.arange(score.shape[0]), score.shape[1])
    reference, score = index.ravel(), score.ravel()
    order = np.lexsort((reference, query, -score))[: recipe.max_rows]
    pairs = Pairs(query[order], reference[order], score[order])
    return Matches(pairs, len(score) - len(order), unlike)


def _norms(queries, training, normalisation, products):
    """(-factor * beta(q) float32 (q,), the score `unlike`); zeros and None without a normalisation."""
    norms = np.zeros(queries.shape[0], dtype=np.float32)
    if normalisation is None:
        return norms, None
    if training.shape[0] < normalisation.neighbours:
        raise Refusal(
            "--normalise-with: expected at least {} pictures that can be read (--top-training), found "
            "{}".format(normalisation.neighbours, training.shape[0])
        )
    own = np.empty_like(norms)
    parts = blocks(queries.shape[0], block_rows(queries.shape[1]))
    for first, last in progress(parts, len(parts), "normalisation, blocks"):
        vectors = queries.read(first, last)
        norms[first:last] = normalisation.norms(vectors, training, products)
        own[first:last] = nearest(vectors, training, 1, products=products)[0][:, 0]
    own = np.sort(own + norms)
    place = len(own) - 1 if len(own) < 100 else int(np.ceil(ALL_BUT * len(own))) - 1
    return norms, float(own[place])


def _searched(queries, references, k, products):
    """`nearest_in_blocks` with a progress bar."""
    rows = block_rows(references.shape[1])
    total = references.shape[0] * len(blocks(queries.shape[0], rows))
    bar = progress(None, total, "search")
    try:
        return nearest_in_blocks(queries, references, k, products=products, advanced=bar.update)
    finally:
        bar.close()
