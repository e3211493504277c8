"""Distances between all pictures, queries before the gallery, a block of rows at a time."""

from __future__ import annotations

import numpy as np

from encore.runtime.refusal import Refusal


class DistancesOfFeatures:
    """Squared Euclidean distances of features float32 (n, d), a block of rows at a time."""

    def __init__(self, features):
        self._features = features
        self._squares = np.einsum("ij,ij->i", features, features, dtype=np.float64).astype(np.float32)

    def __len__(self):
        return len(self._features)

    def rows(self, first, last):
        """float32 (last - first, n); exactly 0 of every picture to itself."""
        block = np.dot(self._features[first:last], self._features.T)
        block *= -2
        block += self._squares[first:last, None]
        block += self._squares
        np.maximum(block, 0, out=block)  # rounding must not make a distance negative
        block[np.arange(last - first), np.arange(first, last)] = 0
        return block

    def pairs(self, row, columns):
        """float32 (m,): the distances of one row to `columns`, rising; exactly 0 to itself."""
        found = np.dot(self._features[columns], self._features[row])
        found *= -2
        found += self._squares[row]
        found += self._squares[columns]
        np.maximum(found, 0, out=found)
        found[columns == row] = 0
        return found


class GivenDistances:
    """The same from three given matrices: queries against gallery (q, g), queries (q, q), gallery (g, g)."""

    def __init__(self, query_gallery, query_query, gallery_gallery):
        q, g = np.shape(query_gallery) if np.ndim(query_gallery) == 2 else (0, 0)
        if query_query.shape != (q, q) or gallery_gallery.shape != (g, g) or not q or not g:
            raise Refusal(
                "expected distances of shapes (q, g), (q, q) and (g, g), found {}, {} and {}; pass queries "
                "against gallery first".format(query_gallery.shape, query_query.shape, gallery_gallery.shape)
            )
        for part in (query_gallery, query_query, gallery_gallery):
            if not (part.min() >= 0 and np.isfinite(part.max())):
                raise Refusal(
                    "expected distances that are finite and not negative, found {} to {}; pass distances, "
                    "not similarities".format(part.min(), part.max())
                )
        self._top = query_query, query_gallery
        self._bottom = query_gallery.T, gallery_gallery
        self._queries, self._count = q, q + g

    def __len__(self):
        return self._count

    def rows(self, first, last):
        """float32 (last - first, n)."""
        q = self._queries
        top = [part[first : min(last, q)] for part in self._top]
        bottom = [part[max(first - q, 0) : max(last - q, 0)] for part in self._bottom]
        return np.concatenate([np.concatenate(top, axis=1), np.concatenate(bottom, axis=1)])

    def pairs(self, row, columns):
        """float32 (m,): the distances of one row to `columns`, rising."""
        q = self._queries
        cut = np.searchsorted(columns, q)
        left, right = self._top if row < q else self._bottom
        row = row if row < q else row - q
        return np.concatenate([left[row, columns[:cut]], right[row, columns[cut:] - q]])
