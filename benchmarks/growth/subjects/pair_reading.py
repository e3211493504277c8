"""The ground truth of n given pairs read, for ids that are known."""

from __future__ import annotations

import os

from benchmarks.growth.subjects import half_decades, of_caches

OF = "pairs"
SIZES, SHORT = half_decades(3, 6), (100, 300, 1000)
OUTPUT, PER_OBJECT = False, None
EXPLAINED = of_caches("ids are looked up")


def names(n):
    """(query ids, reference ids) of n pairs."""
    return ["Q{:07d}".format(i) for i in range(n)], ["R{:07d}".format((7 * i) % n) for i in range(n)]


def prepare(folder, n):
    from encore.metrics.predictions import write_ground_truth

    write_ground_truth(os.path.join(folder, "pairs.csv"), *names(n))


def ready(folder, n):
    from encore.metrics.predictions import read_ground_truth_of

    known = names(n)
    return lambda: read_ground_truth_of(os.path.join(folder, "pairs.csv"), *known)
