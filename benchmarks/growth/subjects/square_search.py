"""The 10 nearest of n references for n queries, 64 numbers each: both sides grow."""

from __future__ import annotations

from benchmarks.growth.subjects import half_decades
from benchmarks.growth.subjects.nearest_search import sides

OF = "queries and references"
EXPLAINED = {
    "time": (
        2.1,
        "exact search compares each of n queries with each of n references: n * n products by nature. The "
        "memory stays linear, and the published sizes take it tile by tile, on a GPU where there is one",
    )
}
SIZES, SHORT = half_decades(2, 5), (30, 100, 300)
OUTPUT, PER_OBJECT = False, None


def ready(folder, n):
    from encore.search.nearest import nearest

    query, reference = sides(n, n)
    return lambda: nearest(query, reference, 10)
