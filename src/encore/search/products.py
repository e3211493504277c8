"""Scores of two sets of descriptors, tile by tile: products by NumPy on the CPU or by torch on any device.

Products are always taken of zero-filled tiles of one shape, aligned to absolute row numbers. So the score of
a pair is the result of the same matrix product on the same operands however the sets are cut into files, and
is the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

METRICS = ("inner_product", "squared_l2")
QUERY_TILE, REFERENCE_TILE = 2048, 512
"""Tile of the CPU: high, for the product is then fast; its scores, 4 MiB, stay in the cache until looked
through."""
DEVICE_TILES = 2048, 8192
GROUPS = 128
"""Columns of a tile are put together in as many groups to guess how good a row's k-th best is."""


@dataclass(frozen=True, eq=False)
class Tile:
    """Rows `first`, `first` + 1, … (`rows` of them) of a set, filled up with zeros to the tile's height."""

    first: int
    rows: int
    vectors: Any
    squares: Any
    """Squared length of every row, float32; None for inner products."""


def fastest_products(metric="inner_product"):
    """TorchProducts where torch finds a GPU, else HostProducts."""
    import torch

    return TorchProducts("cuda", metric) if torch.cuda.is_available() else HostProducts(metric)


class HostProducts:
    """Scores in float32 by NumPy's matrix product: `metric` is the inner product, or minus the squared L2
    distance."""

    query_tile, reference_tile = QUERY_TILE, REFERENCE_TILE

    def __init__(self, metric="inner_product"):
        self.metric = _checked(metric)
        self._scores = np.empty((self.query_tile, self.reference_tile), dtype=np.float32)
        self._mask = np.empty(self._scores.shape, dtype=bool)

    def tile(self, first, vectors, height):
        """The Tile of `vectors` float32 (at most `height`, d), whose first row has the number `first`."""
        padded = _padded(vectors, height)
        return Tile(first, len(vectors), padded, self._squares(padded))

    def scores(self, query, reference):
        """float32 (query_tile, reference_tile), which the next call overwrites; what lies past the rows of
        either Tile means nothing."""
        scores = np.dot(query.vectors, reference.vectors.T, out=self._scores)
        if query.squares is not None:
            scores *= 2
            scores -= query.squares[:, None]
            scores -= reference.squares[None, :]
            np.minimum(scores, 0, out=scores)  # rounding must not make a distance negative
        return scores

    def at_least(self, scores, bound, query, reference):
        """(query, reference int64, score float32), each (n,): the pairs whose score reaches `bound`, by
        query, then by reference.

        `bound`: a number, or one for each row of the query Tile, float32 (query.rows,).
        """
        mask = self._mask
        if np.ndim(bound):
            np.greater_equal(scores[: query.rows], bound[:, None], out=mask[: query.rows])
        else:
            np.greater_equal(scores, np.float32(bound), out=mask)
        mask[query.rows :] = False
        mask[:, reference.rows :] = False
        place = _true_places(mask)
        row = place // self.reference_tile
        column = place - row * self.reference_tile
        return row + query.first, column + reference.first, scores.ravel()[place]

    def row_bounds(self, scores, k, query, reference):
        """float32 (query.rows,): a number that at least `k` scores of the row reach, and few others."""
        if k > reference.rows:
            return np.full(query.rows, -np.inf, dtype=np.float32)
        scores = scores[: query.rows, : reference.rows]
        if reference.rows == self.reference_tile and k <= GROUPS:
            # k groups whose best reach the bound hold k different scores that do
            scores = scores.reshape(query.rows, -1, GROUPS).max(axis=1)
        kth = scores.shape[1] - k
        return np.partition(scores, kth, axis=1)[:, kth]

    def _squares(self, vectors):
        return _squared_lengths(vectors) if self.metric == "squared_l2" else None


class TorchProducts:
    """The same on a device of torch, in float32 proper; what it returns is on the host."""

    query_tile, reference_tile = DEVICE_TILES

    def __init__(self, device, metric="inner_product"):
        import torch

        self.metric = _checked(metric)
        self._torch, self._device = torch, torch.device(device)
        shape = (self.query_tile, self.reference_tile)
        self._scores = torch.empty(shape, dtype=torch.float32, device=self._device)

    def tile(self, first, vectors, height):
        """As HostProducts.tile; the vectors go to the device."""
        padded = _padded(vectors, height)
        squares = None
        if self.metric == "squared_l2":
            squares = self._to_device(_squared_lengths(padded))
        return Tile(first, len(vectors), self._to_device(padded), squares)

    def scores(self, query, reference):
        """As HostProducts.scores, on the device."""
        from encore.runtime.numerics import exact

        with exact():
            scores = self._torch.mm(query.vectors, reference.vectors.t(), out=self._scores)
        if query.squares is not None:
            scores.mul_(2).sub_(query.squares[:, None]).sub_(reference.squares[None, :]).clamp_(max=0)
        return scores

    def at_least(self, scores, bound, query, reference):
        """As HostProducts.at_least."""
        if np.ndim(bound):
            mask = scores[: query.rows] >= self._to_device(bound)[:, None]
        else:
            mask = scores[: query.rows] >= float(bound)
        mask[:, reference.rows :] = False
        place = self._torch.nonzero(mask.view(-1), as_tuple=False).view(-1)
        score = scores.view(-1)[place].cpu().numpy()
        row, column = np.divmod(place.cpu().numpy(), self.reference_tile)
        return row + query.first, column + reference.first, score

    def row_bounds(self, scores, k, query, reference):
        """As HostProducts.row_bounds."""
        if k > reference.rows:
            return np.full(query.rows, -np.inf, dtype=np.float32)
        best = self._torch.topk(scores[: query.rows, : reference.rows], k, dim=1)[0]
        return best[:, -1].cpu().numpy()

    def _to_device(self, values):
        return self._torch.from_numpy(np.ascontiguousarray(values)).to(self._device)


def _checked(metric):
    if metric not in METRICS:
        raise ValueError("metric is one of {}, not {!r}".format(METRICS, metric))
    return metric


def _padded(vectors, height):
    if len(vectors) == height:
        return vectors
    padded = np.zeros((height, vectors.shape[1]), dtype=np.float32)
    padded[: len(vectors)] = vectors
    return padded


def _squared_lengths(vectors):
    return np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64).astype(np.float32)


def _true_places(mask):
    """int64 (n,): the flat positions of the True of a C-ordered bool array whose size is a multiple of 8.

    Most tiles have few: eight positions at a time are looked at first.
    """
    words = np.flatnonzero(mask.reshape(-1).view(np.uint64) != 0)
    if len(words) * 64 > mask.size:  # more than one word in eight
        return np.flatnonzero(mask)
    word, bit = np.nonzero(mask.reshape(-1, 8)[words])
    return words[word] * 8 + bit
