"""Norms of 500 queries from n training descriptors, the 10,000 best normalised pairs with n references."""

from __future__ import annotations

from benchmarks.growth.subjects import half_decades
from benchmarks.growth.subjects.nearest_search import QUERIES, WIDTH

OF = "references"
SIZES, SHORT = half_decades(3, 6), (100, 300, 1000)
OUTPUT, PER_OBJECT = False, None


def ready(folder, n):
    from benchmarks.score_normalisation import descriptors
    from encore.search.score_normalisation import PUBLISHED, normalised_pairs

    query, reference, training = (
        descriptors(count, WIDTH, seed) for seed, count in enumerate((QUERIES, n, n))
    )

    def work():
        normalised_pairs(query, reference, PUBLISHED.norms(query, training), 10_000)

    return work
