"""Ranked pairs, fabricated."""

from collections import Counter

import numpy as np

from encore.metrics.definitions import DEFINITIONS
from encore.metrics.evidence.ranked_pairs import Measured, RankedPairs
from encore.metrics.pairs import GroundTruth, Predictions
from encore.metrics.recall_at_rank import ranks_of_true_pairs, recall_at_rank

WHATS = ("micro_ap", "recall_at_p90", "recall_at_1", "recall_at_10")


def texts(letter):
    return lambda codes: ["{}{}".format(letter, code) for code in codes.tolist()]


def ranked_pairs(truth, lists, definition="isc2021", whats=WHATS):
    measures = [
        Measured("{}_{}".format(name, what), name, definition, what) for name in lists for what in whats
    ]
    return RankedPairs.of(truth, lists, measures, texts("Q"), texts("R"))


def random_pairs(number, definition, queries=12, references=5):
    """A list over `queries` with many equal scores, right pairs at the head more often than not."""
    draws = np.random.RandomState(number)
    query = np.repeat(np.arange(queries), references)
    reference = np.tile(np.arange(references), queries)
    true_query = np.arange(0, queries, 2)
    true_reference = draws.randint(0, references, len(true_query))
    if definition == "isc2021":  # which counts a repeated pair as often as it is listed
        true_query, true_reference = np.append(true_query, 0), np.append(true_reference, true_reference[0])
    right = np.isin(query * references + reference, true_query * references + true_reference)
    score = draws.randint(0, 8, len(query)) / 8.0 + 0.5 * right
    kept = draws.rand(len(query)) < 0.9
    labelled = np.arange(queries - 1)  # the last query is not looked at
    truth = GroundTruth(true_query, true_reference, labelled)
    return truth, Predictions(query[kept], reference[kept], score[kept])


def repeated(truth, predictions, drawn):
    """The same with the drawn queries only, one that is drawn w times as w queries of names of their own."""
    parts, true_parts, labelled = [], [], []
    for name, query in enumerate(drawn):
        rows, true_rows = predictions.query == query, truth.query == query
        parts.append((np.full(rows.sum(), name), predictions.reference[rows], predictions.score[rows]))
        true_parts.append((np.full(true_rows.sum(), name), truth.reference[true_rows]))
        labelled.extend([name] * int(query in truth.labelled))
    columns = [np.concatenate(column) for column in zip(*parts)]
    true_columns = [np.concatenate(column).astype(np.int64) for column in zip(*true_parts)]
    return GroundTruth(*true_columns, labelled=np.array(labelled, dtype=np.int64)), Predictions(*columns)


def ordinary(truth, predictions, definition):
    """{what: number} by the ordinary metrics; NaN where there is none."""
    if not len(truth):
        return dict.fromkeys(WHATS, float("nan"))
    found = DEFINITIONS[definition].evaluate(predictions, truth)
    ranks = ranks_of_true_pairs(predictions, truth)
    return {
        "micro_ap": found.micro_ap,
        "recall_at_p90": float("nan") if found.recall_at_p90 is None else found.recall_at_p90,
        "recall_at_1": recall_at_rank(ranks, 1),
        "recall_at_10": recall_at_rank(ranks, 10),
    }


def most_drawn(drawn):
    """How often the most frequent one is drawn."""
    return max(Counter(drawn.tolist()).values())
