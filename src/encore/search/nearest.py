"""Exact k nearest neighbours by matrix products, in bounded memory, with one answer for any cut."""

from __future__ import annotations

import numpy as np

from encore.search.products import HostProducts
from encore.search.tiling import rows_of, same_width, tile_pairs


def nearest(queries, references, k, metric="inner_product", products=None):
    """The `k` nearest references of every query: (scores float32 (q, k), indices int64 (q, k)), nearest
    first.

    `queries` float32 (q, d), `references` float32 (n, d), both finite, in memory or sets of `tiling`. Scores
    grow with nearness: the inner product, or minus the squared L2 distance. Equal scores: the lower index
    first. k is cut to n. `products`: by what the scores are computed (NumPy with `metric`). A float32 score
    is off by at most about d * 2^-24 * |q| * |r| (twice that for L2).
    """
    if k < 1:
        raise ValueError("k is at least 1, not {}".format(k))
    products = products or HostProducts(metric)
    queries, references = rows_of(queries, "query"), rows_of(references, "reference")
    same_width(queries, references)
    k = min(k, references.shape[0])
    score = np.full((queries.shape[0], k), -np.inf, dtype=np.float32)
    index = np.full((queries.shape[0], k), references.shape[0], dtype=np.int64)
    if k:
        for query, reference in tile_pairs(queries, references, products):
            rows = slice(query.first, query.first + query.rows)
            block = products.scores(query, reference)
            bound = score[rows, -1]
            if not reference.first:
                bound = products.row_bounds(block, k, query, reference)
            found = products.at_least(block, bound, query, reference)
            _merge(score, index, found)
    return score, index


def _merge(score, index, found):
    """Put the candidates `found` (row, index, score), in order of row and index, all after those held, among
    the k best of their rows."""
    row, column, value = found
    if not len(row):
        return
    k = score.shape[1]
    touched, first, counts = np.unique(row, return_index=True, return_counts=True)
    place = np.arange(len(row)) - np.repeat(first, counts) + k
    line = np.repeat(np.arange(len(touched)), counts)
    scores = np.full((len(touched), k + int(counts.max())), -np.inf, dtype=np.float32)
    indices = np.full(scores.shape, np.iinfo(np.int64).max)
    scores[:, :k], indices[:, :k] = score[touched], index[touched]
    scores[line, place], indices[line, place] = value, column
    # stable, and held before new: of equal scores the lower index comes first
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    score[touched] = np.take_along_axis(scores, order, axis=1)
    index[touched] = np.take_along_axis(indices, order, axis=1)
