"""The 10 nearest of n references for 500 queries, 64 numbers each."""

from __future__ import annotations

from benchmarks.growth.subjects import half_decades

OF = "references"
SIZES, SHORT = half_decades(3, 6), (100, 300, 1000)
OUTPUT, PER_OBJECT, QUERIES, WIDTH = False, None, 500, 64


def sides(n, queries=QUERIES):
    """(queries, references) as float32 unit vectors."""
    from benchmarks.score_normalisation import descriptors

    return descriptors(queries, WIDTH, 0), descriptors(n, WIDTH, 1)


def ready(folder, n):
    from encore.search.nearest import nearest

    query, reference = sides(n)
    return lambda: nearest(query, reference, 10)
