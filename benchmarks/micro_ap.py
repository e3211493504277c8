"""How fast 500,000 predictions are scored, from integer ids and from CSV files, against the obvious loop.

`python -m benchmarks.micro_ap` prints JSON; every number is the median of runs in one process.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time

import numpy as np

from encore.metrics.micro_ap import micro_average_precision
from encore.metrics.pairs import GroundTruth, Predictions
from encore.metrics.predictions import read_evaluation, write_ground_truth, write_predictions

PREDICTIONS = 500000
QUERIES = 50000
REFERENCES = 1000000
TRUE_PAIRS = 10000
RUNS = 5


def micro_average_precision_by_loop(predictions, truth):
    """Micro average precision of tuples (query, reference, score) against a list of pairs, one prediction at
    a time."""
    true = set(truth)
    ranked = sorted(((-score, (query, reference) in true) for query, reference, score in predictions))
    found, area = 0, 0.0
    for rank, (_, correct) in enumerate(ranked, 1):
        if correct:
            found += 1
            area += found / rank
    return area / len(truth)


def example(seed=0):
    """Predictions and GroundTruth the size of a full submission; half of the true pairs are found, scores
    have ties."""
    random = np.random.RandomState(seed)
    true = random.permutation(QUERIES)[:TRUE_PAIRS], random.randint(0, REFERENCES, TRUE_PAIRS)
    query = np.concatenate([true[0][::2], random.randint(0, QUERIES, PREDICTIONS)])
    reference = np.concatenate([true[1][::2], random.randint(0, REFERENCES, PREDICTIONS)])
    _, first = np.unique(query * REFERENCES + reference, return_index=True)
    first = np.sort(first)[:PREDICTIONS]
    score = np.round(random.standard_normal(len(query)) + 3.0 * (np.arange(len(query)) < TRUE_PAIRS // 2), 6)
    order = random.permutation(first)
    return Predictions(query[order], reference[order], score[order]), GroundTruth(*true, np.arange(QUERIES))


def median_seconds(work, runs=RUNS):
    """(median wall seconds, last result) of `runs` calls of `work`."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def run():
    """Flat dict: seconds and values of the vectorised metric, of the loop, and of scoring from CSV files."""
    predictions, truth = example()
    rows = list(zip(predictions.query.tolist(), predictions.reference.tolist(), predictions.score.tolist()))
    pairs = list(zip(truth.query.tolist(), truth.reference.tolist()))
    integers, value = median_seconds(lambda: micro_average_precision(predictions, truth))
    loop, loop_value = median_seconds(lambda: micro_average_precision_by_loop(rows, pairs))
    with tempfile.TemporaryDirectory() as folder:
        files = _write(folder, rows, pairs)
        csv, csv_value = median_seconds(lambda: micro_average_precision(*read_evaluation(*files)[:2]))
    return {
        "predictions": len(predictions),
        "true_pairs": len(truth),
        "runs": RUNS,
        "seconds_integer_ids": integers,
        "seconds_loop": loop,
        "loop_over_integer_ids": loop / integers,
        "seconds_csv": csv,
        "micro_ap": value,
        "difference_to_loop": abs(value - loop_value),
        "difference_csv_to_integer_ids": abs(value - csv_value),
    }


def _write(folder, rows, pairs):
    files = os.path.join(folder, "predictions.csv"), os.path.join(folder, "ground_truth.csv")
    write_predictions(
        files[0],
        ["Q{:05d}".format(row[0]) for row in rows],
        ["R{:06d}".format(row[1]) for row in rows],
        [row[2] for row in rows],
        decimals=6,
    )
    write_ground_truth(
        files[1], ["Q{:05d}".format(pair[0]) for pair in pairs], ["R{:06d}".format(pair[1]) for pair in pairs]
    )
    return files


if __name__ == "__main__":
    print(json.dumps(run(), indent=1, sort_keys=True))
