"""Descriptor files of 5,000 rows of 64 numbers read and checked as one, as the test of Track 2 does."""

from __future__ import annotations

import os

from benchmarks.growth.subjects import half_decades, of_caches

OF = "descriptors"
SIZES, SHORT = half_decades(3, 6), (100, 300, 1000)
OUTPUT, PER_OBJECT, ROWS, WIDTH = False, None, 5000, 64
EXPLAINED = of_caches("ids are looked up")


def prepare(folder, n):
    from benchmarks.score_normalisation import descriptors
    from encore.data.descriptors import write_descriptors

    for chunk, first in enumerate(range(0, n, ROWS)):
        rows = min(ROWS, n - first)
        names = ["R{:07d}.jpg".format(first + i) for i in range(rows)]
        path = os.path.join(folder, "reference_{}_8.hdf5".format(chunk))
        write_descriptors(path, descriptors(rows, WIDTH, chunk), names)


def ready(folder, n):
    from encore.data.descriptors import chunk_files, read_descriptors

    def work():
        read_descriptors(chunk_files(os.path.join(folder, "reference_8.hdf5")), rows=n)

    return work
