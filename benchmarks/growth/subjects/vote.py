"""The vote of three backbones over n rows in all."""

from __future__ import annotations

from benchmarks.growth.subjects import half_decades, of_caches

OF = "rows"
SIZES, SHORT = half_decades(4, 7), (300, 900, 3000)
OUTPUT, PER_OBJECT = False, None
EXPLAINED = of_caches("rows are sorted and picked")


def lists(n):
    """Three ScoreLists of n rows in all, of pairs that half of the time two of them share."""
    import numpy as np

    from encore.systems.isc_track1.picture_ids import QUERIES, REFERENCES
    from encore.systems.isc_track1.score_list import ScoreList

    each, random, found = max(1, n // 3), np.random.RandomState(0), []
    for _ in range(3):
        number = np.sort(random.choice(2 * each, each, replace=False))
        columns = number % 50000 + 50000, number // 50000, np.round(300000 * random.standard_normal(each))
        texts = ["Q{:05d}_0".format(q) for q in range(50000, 100000)]
        queries = QUERIES.encode(texts, "growth")[columns[0] - 50000]
        references = REFERENCES.encode(["R{:06d}".format(r) for r in range(1000)], "growth")[columns[1]]
        found.append(ScoreList(queries, references, (3 * columns[2]).astype(np.int32)))
    return found


def ready(folder, n):
    from encore.systems.isc_track1.vote import vote

    three = lists(n)
    return lambda: vote(three).distinct()
