"""The augmented queries too small to be trusted (spec isc-track1-test 1.3)."""

from __future__ import annotations

import os

import numpy as np

from encore.runtime.atomic import replacing

PUBLISHED = (100, 150, 200)
"""Sides in pixels; the files are named after them at every size, and `DataSet.least_query` refers to them."""


def small_name(published):
    """The name of the list for the published side `published`."""
    return "query_wrong_{}_VD.npy".format(published)


def write_small_queries(folder, names, sizes, sides=PUBLISHED):
    """Write the lists of augmented queries narrower or lower than a side; returns {published side: count}.

    names: file names (`Q50000_13.jpg`). sizes: (width, height) of each. sides: what stands here for the
    published 100, 150 and 200. A list is a one-dimensional unicode array of names without `.jpg`, in the
    given order.
    """
    bases = np.array([name[: -len(".jpg")] for name in names], dtype=str)
    shorter = np.asarray(sizes, dtype=np.int64).reshape(-1, 2).min(axis=1)
    counts = {}
    for published, side in zip(PUBLISHED, sides):
        small = bases[shorter < side]
        counts[published] = len(small)
        with replacing(os.path.join(str(folder), small_name(published))) as file:
            np.save(file, small, allow_pickle=False)
    return counts
