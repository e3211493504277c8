"""Micro average precision of n predictions in memory, as `encore verify` computes it again."""

from __future__ import annotations

from benchmarks.growth.subjects import half_decades, of_caches

OF = "predictions"
SIZES, SHORT = half_decades(4, 7), (300, 900, 3000)
OUTPUT, PER_OBJECT = False, None
EXPLAINED = of_caches("predictions are sorted")


def example(n):
    """(Predictions, GroundTruth): n pairs, each once, of n / 10 queries; every fiftieth is right."""
    import numpy as np

    from encore.metrics.pairs import GroundTruth, Predictions

    random, queries = np.random.RandomState(0), max(10, n // 10)
    number = random.permutation(n)
    query, reference = number % queries, number // queries
    right = np.flatnonzero(number % 50 == 0)
    score = random.standard_normal(n)
    score[right] += 2
    truth = GroundTruth(query[right], reference[right], np.arange(queries))
    return Predictions(query, reference, score), truth


def ready(folder, n):
    from encore.metrics.micro_ap import micro_average_precision

    predictions, truth = example(n)
    return lambda: micro_average_precision(predictions, truth)
