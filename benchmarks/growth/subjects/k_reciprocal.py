"""k-reciprocal re-ranking of n pictures, a sixth of them queries, as Market-1501's; 64 numbers each."""

from __future__ import annotations

from benchmarks.growth.subjects import half_decades

OF = "pictures"
EXPLAINED = {
    "time": (
        2.1,
        "re-ranking needs the 20 nearest of each of n pictures among all n: n * n distances by nature. In "
        "memory stay the distances of queries and gallery that it returns, queries * gallery numbers",
    )
}
SIZES, SHORT = tuple(size // 3 for size in half_decades(2, 5)), (60, 120, 240)
OUTPUT, PER_OBJECT, WIDTH = False, None, 64


def ready(folder, n):
    from benchmarks.k_reciprocal import K1, K2, WEIGHT, people
    from encore.search.k_reciprocal import KReciprocal

    query, gallery = people(max(2, n // 6), n - max(2, n // 6), max(2, n // 25), WIDTH)
    return lambda: KReciprocal(K1, K2, WEIGHT).distances(query, gallery)
