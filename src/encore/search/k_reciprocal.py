"""k-reciprocal re-ranking (Zhong, Zheng, Cao, Li: "Re-ranking Person Re-identification with k-reciprocal
Encoding", 2017), the encodings kept as sparse rows.

Numbers come out as those of the common NumPy implementation, which holds four or five matrices of all pairs;
here a block of rows of them is held at a time, and the (q, g) result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encore.runtime.refusal import Refusal
from encore.search.distance_blocks import DistancesOfFeatures, GivenDistances

BLOCK_BYTES = 2**26
"""Largest block of distances, in bytes."""
GROUPS = 256
"""Columns of a block are put together in as many groups to guess how far a row's k-th nearest is."""
SETS_BLOCK = 256
"""Rows whose neighbour sets are expanded together."""


@dataclass(frozen=True)
class KReciprocal:
    """`k1` nearest pictures may be reciprocal neighbours, the encodings of the `k2` nearest are averaged,
    `weight` is the share of the original distance in the result; the paper's values."""

    k1: int = 20
    k2: int = 6
    weight: float = 0.3

    def __post_init__(self):
        if self.k1 < 1 or self.k2 < 1 or not 0 <= self.weight <= 1:
            raise Refusal(
                "expected k1 and k2 of at least 1 and a weight in 0 to 1, found k1 {}, k2 {}, weight {}; the "
                "paper takes 20, 6, 0.3".format(self.k1, self.k2, self.weight)
            )

    def distances(self, query, gallery):
        """float32 (q, g): the re-ranked distances, smaller = nearer.

        `query` float32 (q, d), `gallery` float32 (g, d), finite, as a rule L2-normalised. Their distance is
        the squared Euclidean one, divided by the largest of its row. Among equal distances the lower index is
        nearer, the queries before the gallery. Non-finite features and other widths are refused.
        """
        query, gallery = _features("query", query), _features("gallery", gallery)
        if query.shape[1] != gallery.shape[1]:
            raise Refusal(
                "expected features of one width, found {} of the queries and {} of the gallery; extract both "
                "by one model".format(query.shape[1], gallery.shape[1])
            )
        return self._re_rank(DistancesOfFeatures(np.concatenate([query, gallery])), len(query))

    def from_distances(self, query_gallery, query_query, gallery_gallery):
        """As `distances`, from distances float32 (q, g), (q, q), (g, g), finite, not negative, symmetric."""
        given = GivenDistances(
            *(np.asarray(part, dtype=np.float32) for part in (query_gallery, query_query, gallery_gallery))
        )
        return self._re_rank(given, len(query_query))

    def _re_rank(self, pairwise, queries):
        neighbours, largest, original = _nearest(pairwise, queries, max(self.k1 + 1, self.k2))
        # published: rounds half to even, so k1 = 5 looks at 2 and k1 = 7 at 4
        sets = _expanded_sets(neighbours[:, : self.k1 + 1], int(np.around(self.k1 / 2)) + 1)
        encodings = _encodings(pairwise, largest, *sets)
        if self.k2 != 1:
            encodings = _averaged(encodings, neighbours[:, : self.k2])
        return _mixed(encodings, original, self.weight)


@dataclass(frozen=True, eq=False)
class _SparseRows:
    """Row i holds `values`[first[i]:first[i + 1]] in the `columns` of the same places, rising."""

    first: np.ndarray
    columns: np.ndarray
    values: np.ndarray

    def __len__(self):
        return len(self.first) - 1


def _nearest(pairwise, queries, k):
    """(the k nearest of every row int32 (n, k), nearest first; the largest distance of every row float32
    (n,); the queries' distances to the gallery over it, float32 (q, g))."""
    n = len(pairwise)
    k = min(k, n)
    neighbours, largest = np.empty((n, k), dtype=np.int32), np.empty(n, dtype=np.float32)
    original = np.empty((queries, n - queries), dtype=np.float32)
    height = max(1, BLOCK_BYTES // (4 * n))
    for first in range(0, n, height):
        last = min(first + height, n)
        block = pairwise.rows(first, last)
        top = block.max(axis=1)
        top[top == 0] = 1  # all pictures are equal; the common implementation divides by zero
        block /= top[:, None]
        largest[first:last] = top
        neighbours[first:last] = _smallest(block, k)
        if first < queries:
            original[first:last] = block[: queries - first, queries:]
    return neighbours, largest, original


def _smallest(block, k):
    """int64 (c, k): the columns of the k smallest values of every row, the lower column first among
    equals."""
    row, column = np.nonzero(block <= _upper_bounds(block, k)[:, None])
    order = np.lexsort((block[row, column], row))
    first = np.searchsorted(row, np.arange(len(block)))
    return column[order][first[:, None] + np.arange(k)]


def _upper_bounds(block, k):
    """float32 (c,): a value that at least k of the row do not exceed, and few others."""
    whole = block.shape[1] // GROUPS * GROUPS
    if whole and k <= GROUPS:
        # k groups whose smallest are within the bound hold k different values that are
        block = block[:, :whole].reshape(len(block), -1, GROUPS).min(axis=1)
    return np.partition(block, k - 1, axis=1)[:, k - 1]


def _expanded_sets(near, half):
    """(first int64 (n + 1,), columns int64): the reciprocal neighbours of every row with those of its
    neighbours that agree, rising, as sparse rows.

    `near` int32 (n, k1 + 1); the neighbours' own sets are taken of their first `half`.
    """
    n = len(near)
    mutual, half_mutual = _mutual(near), _mutual(near[:, :half])
    keys = []
    for first in range(0, n, SETS_BLOCK):
        rows = slice(first, min(first + SETS_BLOCK, n))
        line = np.arange(rows.stop - first)
        own = np.zeros((len(line), n), dtype=bool)
        at, place = np.nonzero(mutual[rows])
        own[at, near[rows][at, place]] = True
        theirs = near[near[rows], :half]  # (c, k1 + 1, half)
        counted = half_mutual[near[rows]] & mutual[rows][:, :, None]
        shared = own[line[:, None, None], theirs] & counted
        agree = shared.sum(axis=2) > 2.0 / 3 * counted.sum(axis=2)
        at, neighbour, place = np.nonzero(counted & agree[:, :, None])
        own[at, theirs[at, neighbour, place]] = True
        keys.append(np.flatnonzero(own) + first * n)
    row, column = np.divmod(np.concatenate(keys), n)
    return _starts(row, n), column


def _mutual(near):
    """bool, as `near` (n, k): whether the row is itself among the k of its neighbour."""
    n = len(near)
    row = np.arange(n, dtype=np.int64)[:, None]
    return np.isin(near.astype(np.int64) * n + row, row * n + near)


def _encodings(pairwise, largest, first, columns):
    """_SparseRows: exp(-normalised distance) to every picture of a row's set, over their sum."""
    values = np.empty(len(columns), dtype=np.float32)
    for row in range(len(pairwise)):
        own = slice(first[row], first[row + 1])
        weights = np.exp(-(pairwise.pairs(row, columns[own]) / largest[row]))
        values[own] = weights / np.sum(weights)
    return _SparseRows(first, columns, values)


def _averaged(encodings, near):
    """_SparseRows: the mean of the encodings of the pictures `near` (n, k2) each row."""
    n = len(near)
    parts = []
    for start in range(0, n, SETS_BLOCK):
        sources = near[start : start + SETS_BLOCK].T
        keys, values = zip(*(_keyed(encodings, source, n) for source in sources))
        distinct, place = np.unique(np.concatenate(keys), return_inverse=True)
        total, taken = np.zeros(len(distinct), dtype=np.float32), 0
        for value in values:  # in float32 and the order of the neighbours, as rows of a matrix are added
            total[place[taken : taken + len(value)]] += value
            taken += len(value)
        parts.append((distinct + start * n, total / np.float32(len(sources))))
    row, column = np.divmod(np.concatenate([keys for keys, _ in parts]), n)
    return _SparseRows(_starts(row, n), column, np.concatenate([values for _, values in parts]))


def _keyed(encodings, source, n):
    """(line * n + column, value) of the rows `source` of `encodings`, line by line."""
    first = encodings.first[source]
    lengths = encodings.first[source + 1] - first
    line = np.repeat(np.arange(len(source)), lengths)
    place = np.arange(len(line)) + np.repeat(first - np.cumsum(lengths) + lengths, lengths)
    return line * n + encodings.columns[place], encodings.values[place]


def _mixed(encodings, original, weight):
    """`original` (q, g), overwritten by itself x `weight` + Jaccard distance of the encodings x the rest."""
    queries, gallery = original.shape
    of_gallery = slice(encodings.first[queries], None)
    order = np.argsort(encodings.columns[of_gallery], kind="stable")
    picture = np.repeat(np.arange(gallery), np.diff(encodings.first[queries:]))[order]
    values = encodings.values[of_gallery][order]
    lists = _starts(encodings.columns[of_gallery][order], len(encodings))
    for query in range(queries):
        own = slice(encodings.first[query], encodings.first[query + 1])
        overlap = np.zeros(gallery, dtype=np.float32)
        for column, value in zip(encodings.columns[own].tolist(), encodings.values[own]):
            holders = slice(lists[column], lists[column + 1])
            overlap[picture[holders]] += np.minimum(value, values[holders])
        jaccard = 1 - overlap / (2 - overlap)
        original[query] = jaccard * (1 - weight) + original[query] * weight
    return original


def _starts(rising, n):
    """int64 (n + 1,): where the run of each of 0 … n - 1 starts in `rising`, and its end."""
    return np.searchsorted(rising, np.arange(n + 1))


def _features(what, features):
    features = np.ascontiguousarray(features, dtype=np.float32)
    if features.ndim != 2 or not len(features):
        raise Refusal(
            "expected {} features of shape (pictures, width), found {}; extract them first".format(
                what, features.shape
            )
        )
    if not np.isfinite(features).all():
        raise Refusal(
            "expected {} features that are finite, found {} in row {}; look at the picture".format(
                what,
                features[~np.isfinite(features)][0],
                int(np.argmin(np.isfinite(features).all(axis=1))),
            )
        )
    return features
