"""The arrays of one part of an evidence file, taken by name and checked."""

from __future__ import annotations

import numpy as np

from encore.metrics.evidence.archive import decoded
from encore.runtime.refusal import Refusal


class Entries:
    """`arrays` by name; every refusal names `where` (file and part) and the entry."""

    def __init__(self, arrays, where):
        self._arrays, self._where = arrays, where

    def names(self, start):
        """What follows `start` in the names that begin with it, sorted."""
        return sorted(name[len(start) :] for name in self._arrays if name.startswith(start))

    def texts(self, name):
        """A list of str."""
        try:
            return decoded(self._taken(name))
        except ValueError as error:
            raise self.refusal(name, str(error)) from None

    def rows(self, name, width):
        """A list of tuples of `width` str each: lines of text with tabs between."""
        found = [tuple(line.split("\t")) for line in self.texts(name)]
        if any(len(row) != width for row in found):
            raise self.refusal(name, "expected {} texts a line".format(width))
        return found

    def integers(self, name, below=None, length=None):
        """int64 (n,), each from 0 to `below` - 1 where that is given; n = `length` where given."""
        values = self._taken(name)
        if values.dtype.kind not in "iu" or values.ndim != 1:
            raise self.refusal(name, "expected integers in one row, found {}".format(_shape(values)))
        if below is not None and len(values) and not 0 <= int(values.min()) <= int(values.max()) < below:
            raise self.refusal(
                name,
                "expected numbers from 0 to {}, found {} to {}".format(below - 1, values.min(), values.max()),
            )
        self._check_length(name, values, length)
        return values.astype(np.int64)

    def floats(self, name, width=None, length=None):
        """float32 or float64 (n,), or (n, `width`); n = `length` where that is given."""
        values = self._taken(name)
        shape = (len(values),) if width is None else (len(values), width)
        if values.dtype not in (np.float32, np.float64) or values.shape != shape:
            raise self.refusal(name, "expected floats {}, found {}".format(shape, _shape(values)))
        self._check_length(name, values, length)
        return values

    def table(self, name, kinds):
        """An array (n, m) whose dtype is of one of the `kinds` ("f", "iu")."""
        values = self._taken(name)
        if values.dtype.kind not in kinds or values.ndim != 2:
            raise self.refusal(name, "expected a table of numbers, found {}".format(_shape(values)))
        return values

    def refusal(self, name, reason):
        """The Refusal of the entry `name`."""
        return Refusal("{}: {}: {}: pull it again, or run its stage".format(self._where, name, reason))

    def _taken(self, name):
        if name not in self._arrays or not self._arrays[name].ndim:
            raise self.refusal(name, "missing")
        return self._arrays[name]

    def _check_length(self, name, values, length):
        if length is not None and len(values) != length:
            raise self.refusal(name, "expected {} entries, found {}".format(length, len(values)))


def _shape(values):
    return "{} of shape {}".format(values.dtype, values.shape)
