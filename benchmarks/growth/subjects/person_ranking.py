"""A gallery of n persons' pictures ranked for 50 queries; each person has 20 pictures."""

from __future__ import annotations

from benchmarks.growth.subjects import half_decades, of_caches

OF = "pictures of the gallery"
SIZES, SHORT = half_decades(3, 6), (100, 300, 1000)
OUTPUT, PER_OBJECT, QUERIES = False, None, 50
EXPLAINED = of_caches("pictures of a person are picked")


def ready(folder, n):
    import numpy as np

    from encore.metrics.person_ranking import market_ranking

    random, persons = np.random.RandomState(0), max(2, n // 20)
    scores = random.standard_normal((QUERIES, n)).astype(np.float32)
    labels, cameras = random.randint(0, persons, n), random.randint(1, 7, n)
    asked = random.randint(0, persons, QUERIES), random.randint(1, 7, QUERIES)
    return lambda: market_ranking(scores, *asked, labels, cameras)
