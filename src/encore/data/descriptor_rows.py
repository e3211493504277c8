"""The descriptors of all chunk files of one set, of which only the rows that are asked for are in memory."""

from __future__ import annotations

import numpy as np

from encore.data.descriptors import UNIT_LENGTH_TOLERANCE, chunk_files, descriptor_id
from encore.data.hdf5_file import dataset, opened
from encore.runtime.refusal import Refusal


class DescriptorRows:
    """L2-normalised descriptors of the chunk files of `pattern` (chunk_path), one set in the order of their
    numbers.

    `shape`: (n, d); `ids`: fixed-length bytes (n,). Refuses a missing chunk, files of different width, as
    many names as not vectors, and an id that comes twice; and when they are read for the first time, rows
    that are not finite or not of length 1. Every refusal names file and row.
    """

    def __init__(self, pattern):
        self.paths = chunk_files(pattern)
        self._first, ids, self._checked, width = [0], [], [], None
        for path in self.paths:
            shape, names = _header(path)
            width = shape[1] if width is None else width
            if shape[1] != width:
                raise Refusal(
                    "expected descriptors of width {}, found {} in {}; extract it with the same model".format(
                        width, shape[1], path
                    )
                )
            ids.append(names)
            self._first.append(self._first[-1] + shape[0])
            self._checked.append(np.zeros(shape[0], dtype=bool))
        self.ids = np.concatenate(ids)
        self.shape = (self._first[-1], width)
        self._check_different()

    def read(self, first, last):
        """float32 (last - first, d): the rows `first` to `last` - 1."""
        rows = np.empty((last - first, self.shape[1]), dtype=np.float32)
        for number, path in enumerate(self.paths):
            start, end = self._first[number], self._first[number + 1]
            low, high = max(first, start), min(last, end)
            if low < high:
                part = rows[low - first : high - first]
                _read_into(part, path, low - start)
                self._check(number, low - start, part)
        return rows

    def _check(self, number, first, vectors):
        checked = self._checked[number][first : first + len(vectors)]
        if checked.all():
            return
        path = self.paths[number]
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(bad):
            raise Refusal(
                "expected finite descriptors, found NaN or infinity in {} row {}; extract them again".format(
                    path, first + bad[0]
                )
            )
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        bad = np.flatnonzero(np.abs(lengths - 1) > UNIT_LENGTH_TOLERANCE)
        if len(bad):
            raise Refusal(
                "expected L2-normalised descriptors, found length {:.6f} in {} row {}; extract them "
                "again".format(lengths[bad[0]], path, first + bad[0])
            )
        checked[:] = True

    def _check_different(self):
        order = np.argsort(self.ids, kind="mergesort")
        same = np.flatnonzero(self.ids[order[1:]] == self.ids[order[:-1]])
        if len(same):
            before, row = sorted(order[same[0] : same[0] + 2].tolist())
            raise Refusal(
                "expected every id once, found {} in {} and before in {}; remove one of them".format(
                    self.ids[row].decode("ascii"), self._place(row), self._place(before)
                )
            )

    def _place(self, row):
        number = int(np.searchsorted(self._first, row, side="right")) - 1
        return "{} row {}".format(self.paths[number], row - self._first[number])


def _header(path):
    """(shape of the vectors, ids as fixed-length bytes) of one file."""
    with opened(path) as store:
        vectors, stored = (dataset(store, name, path) for name in ("vectors", "image_names"))
        if vectors.dtype.kind not in "fiu" or stored.dtype.kind not in "SO" or stored.ndim != 1:
            raise Refusal(
                "expected numbers as vectors and texts as image_names, found {} and {} in {}".format(
                    vectors.dtype, stored.dtype, path
                )
            )
        shape, names = vectors.shape, stored[()].astype("S")
    if len(shape) != 2 or len(names) != shape[0]:
        raise Refusal(
            "expected one row of vectors for each of the {} image_names, found shape {} in {}".format(
                len(names), shape, path
            )
        )
    try:
        ids = [descriptor_id(name.decode("ascii")) for name in names.tolist()]
    except UnicodeDecodeError as error:
        raise Refusal("expected ASCII image_names, found {!r} in {}".format(error.object, path)) from None
    return shape, np.array(ids, dtype="S") if ids else np.empty(0, dtype="S1")


def _read_into(part, path, first):
    with opened(path) as store:
        dataset(store, "vectors", path).read_direct(part, np.s_[first : first + len(part)])
