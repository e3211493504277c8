"""The list of scores of one model read from its CSV file, as the vote reads 36 of them."""

from __future__ import annotations

import os

from benchmarks.growth.subjects import half_decades

OF = "rows"
SIZES, SHORT = half_decades(3, 6), (100, 300, 1000)
OUTPUT, PER_OBJECT = False, None


def prepare(folder, n):
    import numpy as np

    random = np.random.RandomState(0)
    query, reference = random.randint(50000, 100000, n), random.randint(0, 10**6, n)
    score = np.round(random.standard_normal(n), 6)
    with open(os.path.join(folder, "list.csv"), "w", encoding="ascii") as file:
        file.write("query_id,reference_id,score\n")
        columns = query.tolist(), (np.arange(n) % 9).tolist(), reference.tolist(), score.tolist()
        file.writelines(map("Q{:05d}_{},R{:06d},{:.6f}\n".format, *columns))


def ready(folder, n):
    from encore.systems.isc_track1.score_list import read_score_list

    def work():
        if len(read_score_list(os.path.join(folder, "list.csv"))) != n:
            raise AssertionError("expected {} rows".format(n))

    return work
