"""The 10,000 best pairs of 500 queries and n references, 64 numbers each: the search of both tracks."""

from __future__ import annotations

from benchmarks.growth.subjects import half_decades
from benchmarks.growth.subjects.nearest_search import sides

OF = "references"
SIZES, SHORT = half_decades(3, 6), (100, 300, 1000)
OUTPUT, PER_OBJECT = False, None


def ready(folder, n):
    from encore.search.capped import best_pairs

    query, reference = sides(n)
    return lambda: best_pairs(query, reference, 10_000)
