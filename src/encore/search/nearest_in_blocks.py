"""Exact k nearest neighbours where neither set fits into memory, with one answer for any size of block."""

from __future__ import annotations

import numpy as np

from encore.search.nearest import nearest
from encore.search.tiling import rows_of, same_width

ALIGNED = 8192
"""Blocks begin at multiples of it, which every height of a tile divides: so a score is the same bits as in a
search without blocks."""
BLOCK_BYTES = 1 << 26
"""Of the descriptors of one block: 65,536 rows of 256 numbers."""


def nearest_in_blocks(queries, references, k, rows=None, products=None, advanced=None):
    """The `k` nearest references of every query by inner product, as `nearest` gives them: (scores float32
    (q, k), indices int64 (q, k)), equal scores by the lower index.

    `queries`, `references`: float32 (n, d), or sets of `tiling`, of each of which one block is in memory at a
    time, and each reference is read once. `rows`: of a block (None: what BLOCK_BYTES hold). `advanced`: is
    called with the number of references that a block of queries has met.
    """
    queries, references = rows_of(queries, "query"), rows_of(references, "reference")
    same_width(queries, references)
    rows = rows or block_rows(references.shape[1])
    k = min(k, references.shape[0])
    score = np.full((queries.shape[0], k), -np.inf, dtype=np.float32)
    index = np.full((queries.shape[0], k), references.shape[0], dtype=np.int64)
    for first, last in blocks(references.shape[0], rows):
        vectors = references.read(first, last)
        for begin, end in blocks(queries.shape[0], rows):
            found = nearest(queries.read(begin, end), vectors, k, products=products)
            _merge(score[begin:end], index[begin:end], found[0], found[1] + first)
            if advanced is not None:
                advanced(last - first)
    return score, index


def block_rows(width):
    """Rows of `width` float32 numbers that are read at a time."""
    return max(ALIGNED, BLOCK_BYTES // (4 * width) // ALIGNED * ALIGNED)


def blocks(count, rows):
    """(first row, row after the last one) of every block of `count` rows."""
    return [(first, min(first + rows, count)) for first in range(0, count, rows)]


def _merge(score, index, new_score, new_index):
    """Put what a later block gave among the best held, in place."""
    scores = np.concatenate([score, new_score], axis=1)
    indices = np.concatenate([index, new_index], axis=1)
    # stable, and held before new: of equal scores the lower index comes first
    order = np.argsort(-scores, axis=1, kind="stable")[:, : score.shape[1]]
    score[:] = np.take_along_axis(scores, order, axis=1)
    index[:] = np.take_along_axis(indices, order, axis=1)
