"""A set of descriptors that is cut into files of some rows, without files."""

from __future__ import annotations

import numpy as np


class CutSet:
    """`vectors` (n, d) in parts of `rows`; what is read is a copy put together from the parts."""

    def __init__(self, vectors, rows):
        self._parts = [vectors[first : first + rows].copy() for first in range(0, len(vectors), rows)]
        self._rows = rows
        self.shape = vectors.shape
        self.largest_read = 0

    def read(self, first, last):
        self.largest_read = max(self.largest_read, last - first)
        pieces = []
        for number, part in enumerate(self._parts):
            start = number * self._rows
            pieces.append(part[max(first - start, 0) : max(last - start, 0)])
        return np.concatenate(pieces)
