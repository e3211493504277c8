"""Exact k nearest neighbours by matrix products, in bounded memory, with one answer for any chunk size."""

from __future__ import annotations

import numpy as np

from encore.runtime.refusal import Refusal

QUERY_TILE = 256
REFERENCE_TILE = 4096
"""Products are always taken of zero-filled tiles of this shape, aligned to absolute positions. So the score
of a pair is the result of the same BLAS call on the same operands however the work is cut, and is the same
bits."""

METRICS = ("inner_product", "squared_l2")


def nearest(queries, references, k, metric="inner_product", reference_chunk=REFERENCE_TILE):
    """The `k` nearest references of every query: (scores float32 (q, k), indices int64 (q, k)), nearest
    first.

    `queries` float32 (q, d), `references` float32 (n, d), both finite. Scores grow with nearness: the inner
    product, or minus the squared L2 distance. Equal scores: the lower index first. k is cut to n.
    `reference_chunk` references (rounded up to whole tiles) are held in memory as scores at a time; it does
    not change a bit of the result. A float32 score is off by at most about d * 2^-24 * |q| * |r| (twice that
    for L2).
    """
    if k < 1:
        raise ValueError("k is at least 1, not {}".format(k))
    queries, references = checked_descriptors(queries, references)
    k = min(k, len(references))
    score = np.empty((len(queries), k), dtype=np.float32)
    index = np.empty((len(queries), k), dtype=np.int64)
    for first in range(0, len(queries), QUERY_TILE):
        rows = slice(first, min(first + QUERY_TILE, len(queries)))
        best = None
        for offset, block in score_blocks(queries[rows], references, metric, reference_chunk):
            best = _keep_best(best, block, offset, k)
        if best is not None:
            score[rows], index[rows] = best
    return score, index


def checked_descriptors(queries, references):
    """Both as C-ordered float32; Refusal when their widths differ or an entry is not finite, naming the
    row."""
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    references = np.ascontiguousarray(references, dtype=np.float32)
    if queries.ndim != 2 or references.ndim != 2 or queries.shape[1] != references.shape[1]:
        raise Refusal(
            "expected queries and references of equal width, found shapes {} and {}; extract both with the "
            "same model".format(queries.shape, references.shape)
        )
    for what, vectors in (("query", queries), ("reference", references)):
        bad = first_row_not_finite(vectors)
        if bad is not None:
            raise Refusal(
                "expected finite descriptors, found NaN or infinity in {} row {}; extract it again".format(
                    what, bad
                )
            )
    return queries, references


def first_row_not_finite(vectors):
    """The first row of `vectors` (n, d) that holds NaN or infinity, or None."""
    for first in range(0, len(vectors), 65536):
        bad = np.flatnonzero(~np.isfinite(vectors[first : first + 65536]).all(axis=1))
        if len(bad):
            return first + int(bad[0])
    return None


def score_blocks(queries, references, metric, reference_chunk=REFERENCE_TILE):
    """Yield (offset, scores float32 (q, m)) over consecutive chunks of `references`, for at most QUERY_TILE
    queries."""
    if metric not in METRICS:
        raise ValueError("metric is one of {}, not {!r}".format(METRICS, metric))
    width = queries.shape[1]
    query_tile = np.zeros((QUERY_TILE, width), dtype=np.float32)
    query_tile[: len(queries)] = queries
    chunk = -(-max(reference_chunk, 1) // REFERENCE_TILE) * REFERENCE_TILE
    for offset in range(0, len(references), chunk):
        size = min(chunk, len(references) - offset)
        scores = np.empty((len(queries), size), dtype=np.float32)
        for start in range(0, size, REFERENCE_TILE):
            tile = references[offset + start : offset + min(start + REFERENCE_TILE, size)]
            scores[:, start : start + len(tile)] = _tile_scores(query_tile, tile, metric)[
                : len(queries), : len(tile)
            ]
        yield offset, scores


def _tile_scores(query_tile, tile, metric):
    if len(tile) < REFERENCE_TILE:
        tile = np.concatenate([tile, np.zeros((REFERENCE_TILE - len(tile), tile.shape[1]), dtype=np.float32)])
    products = np.dot(query_tile, tile.T)
    if metric == "inner_product":
        return products
    products *= 2
    products -= _squared_norms(query_tile)[:, None]
    products -= _squared_norms(tile)[None, :]
    return np.minimum(products, 0, out=products)  # rounding must not make a distance negative


def _squared_norms(vectors):
    return np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64).astype(np.float32)


def _keep_best(best, block, offset, k):
    """Merge the scores of a further chunk into the running (score, index) of the k best, both (q, k)."""
    if best is None:
        held_score = np.empty((len(block), 0), dtype=np.float32)
        held_index = np.empty((len(block), 0), dtype=np.int64)
    else:
        held_score, held_index = best
    if held_score.shape[1] < k:
        candidate = np.ones(block.shape, dtype=bool)
    else:
        candidate = block > held_score[:, -1:]  # an equal score with a higher index loses
    if block.shape[1] > k and np.count_nonzero(candidate) > 4 * k * len(block):
        candidate &= block >= np.partition(block, block.shape[1] - k, axis=1)[:, block.shape[1] - k, None]
    row, column = np.nonzero(candidate)
    held_rows = np.repeat(np.arange(len(block)), held_score.shape[1])
    rows = np.concatenate([held_rows, row])
    scores = np.concatenate([held_score.ravel(), block[row, column]])
    indices = np.concatenate([held_index.ravel(), column + offset])
    return _first_of_each_row(rows, scores, indices, len(block), k)


def _first_of_each_row(rows, scores, indices, height, k):
    order = np.lexsort((indices, -scores, rows))
    counts = np.bincount(rows, minlength=height)
    starts = np.cumsum(counts) - counts
    width = min(k, int(counts.min()))
    kept = order[(starts[:, None] + np.arange(width)[None, :]).ravel()]
    return scores[kept].reshape(height, width), indices[kept].reshape(height, width)
