"""Predictions and ground truth read from CSV files and scored."""

from __future__ import annotations

import os

from benchmarks.growth.subjects import half_decades, of_caches

OF = "predictions"
SIZES, SHORT = half_decades(3, 6), (300, 900, 3000)
OUTPUT, PER_OBJECT = False, None
EXPLAINED = of_caches("ids are looked up")


def prepare(folder, n):
    from benchmarks.growth.subjects.micro_average_precision import example
    from encore.metrics.predictions import write_ground_truth, write_predictions

    predictions, truth = example(n)
    for rows, write, name, scores in (
        (predictions, write_predictions, "predictions.csv", [predictions.score]),
        (truth, write_ground_truth, "ground_truth.csv", []),
    ):
        queries = ["Q{:07d}".format(query) for query in rows.query.tolist()]
        references = ["R{:07d}".format(reference) for reference in rows.reference.tolist()]
        write(os.path.join(folder, name), queries, references, *scores)


def ready(folder, n):
    from encore.metrics.micro_ap import micro_average_precision
    from encore.metrics.predictions import read_evaluation

    files = [os.path.join(folder, name) for name in ("predictions.csv", "ground_truth.csv")]
    return lambda: micro_average_precision(*read_evaluation(*files)[:2])
