"""The final rule over n rows of all lists: two best scores of every pair, most confident pairs."""

from __future__ import annotations

from benchmarks.growth.subjects import half_decades, of_caches
from benchmarks.growth.subjects.vote import lists

OF = "rows"
SIZES, SHORT = half_decades(4, 7), (300, 900, 3000)
OUTPUT, PER_OBJECT = False, None
EXPLAINED = of_caches("rows are sorted and picked")


def ready(folder, n):
    from encore.systems.isc_track1.final_rule import best_two, most_confident
    from encore.systems.isc_track1.penalty import Penalty

    three, penalty = lists(n), Penalty()
    return lambda: most_confident(best_two(three, penalty).final())
