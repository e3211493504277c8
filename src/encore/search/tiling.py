"""Sets of descriptors in blocks that fit into memory, and their tiles."""

from __future__ import annotations

import numpy as np

from encore.runtime.refusal import Refusal

BLOCK = 65536
"""Rows of one set that are in memory at a time; a multiple of every tile's height."""


class InMemory:
    """A set whose rows are all in memory: `vectors` float32 (n, d), finite; `what` names it in errors."""

    def __init__(self, vectors, what):
        self._vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if self._vectors.ndim != 2:
            raise Refusal(
                "expected {} descriptors as rows of a table, found shape {}".format(what, vectors.shape)
            )
        self.shape = self._vectors.shape
        bad = first_row_not_finite(self._vectors)
        if bad is not None:
            raise Refusal(
                "expected finite descriptors, found NaN or infinity in {} row {}; extract it again".format(
                    what, bad
                )
            )

    def read(self, first, last):
        """float32 (last - first, d): the rows `first` to `last` - 1."""
        return self._vectors[first:last]


class WithColumn:
    """`rows` with one more column: `column` float32 (n,), or one number for all rows."""

    def __init__(self, rows, column):
        height, width = rows.shape
        self._rows = rows
        self._column = np.broadcast_to(np.asarray(column, dtype=np.float32), (height,))
        self.shape = (height, width + 1)

    def read(self, first, last):
        """float32 (last - first, d + 1)."""
        joined = np.empty((last - first, self.shape[1]), dtype=np.float32)
        joined[:, :-1] = self._rows.read(first, last)
        joined[:, -1] = self._column[first:last]
        return joined


def rows_of(vectors, what):
    """`vectors` as a set: an object with `shape` (n, d) and `read(first, last)` stays what it is, else
    InMemory."""
    return vectors if hasattr(vectors, "read") else InMemory(vectors, what)


def same_width(queries, references):
    """Refusal when the descriptors of the two sets differ in width."""
    if queries.shape[1] != references.shape[1]:
        raise Refusal(
            "expected queries and references of equal width, found shapes {} and {}; extract both with the "
            "same model".format(tuple(queries.shape), tuple(references.shape))
        )


def first_row_not_finite(vectors):
    """The first row of `vectors` (n, d) that holds NaN or infinity, or None."""
    for first in range(0, len(vectors), BLOCK):
        bad = np.flatnonzero(~np.isfinite(vectors[first : first + BLOCK]).all(axis=1))
        if len(bad):
            return first + int(bad[0])
    return None


def tile_pairs(queries, references, products):
    """Yield (query Tile, reference Tile) for all of them; each query tile meets the references in ascending
    order.

    At most one block of either set is in memory at a time. `products`: HostProducts or TorchProducts.
    """
    held = _Blocks(references, products, products.reference_tile)
    for query_tiles in _Blocks(queries, products, products.query_tile):
        for reference_tiles in held:
            for query in query_tiles:
                for reference in reference_tiles:
                    yield query, reference


class _Blocks:
    """Iterates over the blocks of a set, each as a list of Tiles; a set of one block is read once."""

    def __init__(self, rows, products, height):
        self._rows, self._products, self._height = rows, products, height
        self._only = None

    def __iter__(self):
        count = self._rows.shape[0]
        if self._only is not None:
            yield self._only
            return
        for first in range(0, count, BLOCK):
            tiles = self._read(first, min(first + BLOCK, count))
            if count <= BLOCK:
                self._only = tiles
            yield tiles

    def _read(self, first, last):
        vectors = self._rows.read(first, last)
        return [
            self._products.tile(first + start, vectors[start : start + self._height], self._height)
            for start in range(0, last - first, self._height)
        ]
