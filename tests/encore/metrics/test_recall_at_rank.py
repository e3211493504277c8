import math

import numpy as np
from hypothesis import given, settings

from encore.metrics.recall_at_rank import NOT_PREDICTED, ranks_of_true_pairs, recall_at_rank
from tests.encore.metrics.test_micro_ap import PREDICTED, TRUE, as_predictions, as_truth


@settings(deadline=None)
@given(PREDICTED, TRUE)
def test_equals_the_literal_definition(predicted, true):
    expected = [
        sum(score >= predicted[pair] for (query, _), score in predicted.items() if query == pair[0]) - 1
        if pair in predicted
        else 2**35
        for pair in true
    ]
    assert ranks_of_true_pairs(as_predictions(predicted), as_truth(true)).tolist() == expected


def test_worked_example():
    # query 1: .9 (true) before .8; query 2: .7 alone; query 3: .7 wrong before .6 true; query 4 not predicted
    predicted = {(1, 1): 0.9, (1, 2): 0.8, (2, 2): 0.7, (3, 9): 0.7, (3, 3): 0.6, (5, 5): 0.5}
    ranks = ranks_of_true_pairs(as_predictions(predicted), as_truth([(1, 1), (2, 2), (3, 3), (4, 4)]))
    assert ranks.tolist() == [0, 0, 1, NOT_PREDICTED]
    assert recall_at_rank(ranks, 1) == 2 / 4
    assert recall_at_rank(ranks, 10) == 3 / 4


def test_ties_hurt():
    # three predictions of one query tied: |score >= .5| - 1 = 2
    ranks = ranks_of_true_pairs(
        as_predictions({(0, 0): 0.5, (0, 1): 0.5, (0, 2): 0.5, (0, 3): 0.4}), as_truth([(0, 0)])
    )
    assert ranks.tolist() == [2]


def test_no_predictions_and_no_true_pairs():
    assert ranks_of_true_pairs(as_predictions({}), as_truth([(0, 0)])).tolist() == [NOT_PREDICTED]
    assert math.isnan(recall_at_rank(np.empty(0, dtype=np.int64), 1))
