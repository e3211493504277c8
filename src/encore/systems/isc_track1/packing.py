"""Several whole numbers as one, in the same order."""

from __future__ import annotations

import numpy as np

LARGEST = 2**62


def packed(*columns):
    """int64 (n,): one number a row of the integer `columns`, sorting as the rows do.

    Columns are shifted to start at 0; one that is too wide for what is left is replaced by ranks.
    """
    key = _from_zero(columns[0])
    for column in columns[1:]:
        column = _from_zero(column)
        if _width(key) * _width(column) > LARGEST:
            key = np.unique(key, return_inverse=True)[1].ravel()
        if _width(key) * _width(column) > LARGEST:
            column = np.unique(column, return_inverse=True)[1].ravel()
        key = key * _width(column) + column  # two ranks of n rows each always fit
    return key


def _from_zero(column):
    column = column.astype(np.int64)
    return column - column.min() if len(column) else column


def _width(column):
    return int(column.max()) + 1 if len(column) else 1
