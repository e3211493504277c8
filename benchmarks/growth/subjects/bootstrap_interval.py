"""Micro average precision for 20 draws of the queries: a fiftieth of `encore verify`'s interval."""

from __future__ import annotations

from benchmarks.growth.subjects import half_decades, of_caches
from benchmarks.growth.subjects.micro_average_precision import example

OF = "predictions"
SIZES, SHORT = half_decades(3, 6), (300, 900, 3000)
OUTPUT, PER_OBJECT, DRAWS = False, None, 20
EXPLAINED = of_caches("queries are counted")


def ready(folder, n):
    from encore.metrics.evidence.ranked_pairs import Measured, RankedPairs

    predictions, truth = example(n)
    queries = ["Q{:07d}".format(i) for i in range(len(truth.labelled))]
    measures = (Measured("micro_ap", "all", "platform", "micro_ap"),)
    references = ["R{:02d}".format(i) for i in range(int(predictions.reference.max()) + 1)]
    evidence = RankedPairs(queries, references, truth, {"all": predictions}, measures)
    return lambda: evidence.bootstrap(DRAWS, 0)
