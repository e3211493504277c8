"""The check of a data set's manifest against the indexes of all its shards; tar files are sparse."""

from __future__ import annotations

from benchmarks.growth.subjects import half_decades

OF = "pictures"
SIZES, SHORT = half_decades(4, 7), (200, 600, 2000)
OUTPUT, PER_OBJECT = False, None


def prepare(folder, n):
    from benchmarks.manifest_check import COPIES, write_synthetic

    write_synthetic(folder, classes=-(-n // COPIES))


def ready(folder, n):
    from encore.data.manifest import verify_manifest

    def work():
        problems = verify_manifest(folder)
        if problems:
            raise AssertionError("the synthetic data set must hold: " + problems[0])

    return work
