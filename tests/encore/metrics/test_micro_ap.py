import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encore.metrics.micro_ap import (
    micro_average_precision,
    precision_recall_curve,
    rank_predictions,
    recall_at_precision,
)
from encore.metrics.pairs import GroundTruth, Predictions

SCORES = st.sampled_from([0.1, 0.2, 0.3, 0.5, -1.0, 0.0, -0.0, float("inf"), float("-inf")])
PREDICTED = st.dictionaries(st.tuples(st.integers(0, 5), st.integers(0, 5)), SCORES, max_size=30)
TRUE = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=10)


def as_predictions(predicted):
    """Predictions of {(query, reference): score}."""
    pairs = list(predicted)
    return Predictions(
        np.array([q for q, _ in pairs], dtype=np.int64),
        np.array([r for _, r in pairs], dtype=np.int64),
        np.array([predicted[pair] for pair in pairs], dtype=np.float64),
    )


def as_truth(true, labelled=()):
    """GroundTruth of [(query, reference)]."""
    return GroundTruth(
        np.array([q for q, _ in true], dtype=np.int64),
        np.array([r for _, r in true], dtype=np.int64),
        np.array(labelled, dtype=np.int64),
    )


def literal(predicted, true):
    """(uAP, recall@P90, threshold, [(recall, precision)]) by the definition, one prediction at a time."""
    ranked = sorted(predicted.items(), key=lambda item: (-item[1], item[0] in true))
    found, area, last_recall, best, curve = 0, 0.0, 0.0, (None, None), []
    for i, (pair, score) in enumerate(ranked, 1):
        found += pair in true
        precision, recall = found / i, found / len(true)
        area += (recall - last_recall) * precision
        last_recall = recall
        curve.append((recall, precision))
        if precision >= 0.9 and (best[0] is None or recall > best[0]):
            best = recall, score
    return area, best[0], best[1], curve


@settings(deadline=None)
@given(PREDICTED, TRUE)
def test_equals_the_literal_definition(predicted, true):
    area, recall, threshold, curve = literal(predicted, true)
    predictions, truth = as_predictions(predicted), as_truth(true)
    assert micro_average_precision(predictions, truth) == pytest.approx(area, abs=1e-12)
    point = recall_at_precision(predictions, truth)
    assert (point.recall, point.threshold) == (recall, threshold) if point else recall is None
    recalls, precisions = precision_recall_curve(predictions, truth)
    assert list(zip(recalls, precisions)) == curve


@settings(deadline=None)
@given(PREDICTED, TRUE, st.randoms(use_true_random=False))
def test_the_order_of_the_list_does_not_matter(predicted, true, random):
    shuffled = list(predicted.items())
    random.shuffle(shuffled)
    first = micro_average_precision(as_predictions(predicted), as_truth(true))
    assert micro_average_precision(as_predictions(dict(shuffled)), as_truth(true)) == first


@settings(deadline=None)
@given(PREDICTED, TRUE)
def test_only_the_order_of_scores_matters(predicted, true):
    ranks = {score: rank for rank, score in enumerate(sorted(set(predicted.values())))}
    as_ranks = {pair: float(ranks[score]) for pair, score in predicted.items()}
    assert micro_average_precision(as_predictions(as_ranks), as_truth(true)) == micro_average_precision(
        as_predictions(predicted), as_truth(true)
    )


def test_worked_example():
    # true: 1-1 2-2 3-3 4-4, query 5 without a match; rank, pair, correct, precision:
    # 1 1-1 yes 1/1 | 2 1-2 no 1/2 | 3 3-9 no 1/3 (tied at .7, the wrong one first) | 4 2-2 yes 2/4 | 5 3-3
    # yes 3/5 | 6 5-5 no
    predicted = {(1, 1): 0.9, (1, 2): 0.8, (2, 2): 0.7, (3, 9): 0.7, (3, 3): 0.6, (5, 5): 0.5}
    true = [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert micro_average_precision(as_predictions(predicted), as_truth(true)) == pytest.approx(
        0.25 * (1 + 2 / 4 + 3 / 5), abs=1e-15
    )
    point = recall_at_precision(as_predictions(predicted), as_truth(true))
    assert (point.recall, point.threshold) == (0.25, 0.9)
    recall, precision = rank_predictions(as_predictions(predicted), as_truth(true)).curve()
    assert recall.tolist() == [0.25, 0.5, 0.75, 0.75]
    assert precision.tolist() == [1.0, 0.5, 0.6, 0.5]


def test_all_tied():
    # 4 at .5, two of them right: the wrong ones take ranks 1 and 2; N = 4: (1/3 + 2/4) / 4 = 0.2083333
    predicted = {(0, 0): 0.5, (1, 1): 0.5, (2, 9): 0.5, (3, 9): 0.5}
    true = [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert micro_average_precision(as_predictions(predicted), as_truth(true)) == pytest.approx(
        (1 / 3 + 2 / 4) / 4
    )
    assert recall_at_precision(as_predictions(predicted), as_truth(true)) is None


def test_perfect_list_reaches_everything_at_its_lowest_score():
    predicted = {(0, 0): 0.9, (1, 1): 0.8, (2, 2): 0.7, (3, 3): 0.6}
    truth = as_truth(list(predicted))
    assert micro_average_precision(as_predictions(predicted), truth) == 1.0
    assert recall_at_precision(as_predictions(predicted), truth).threshold == 0.6


def test_repeated_true_pair_counts_twice_and_is_found_once():
    assert micro_average_precision(as_predictions({(1, 1): 0.5}), as_truth([(1, 1), (1, 1)])) == 0.5


def test_precision_of_exactly_nine_tenths_counts():
    # 10 predictions, only the 5th wrong, N = 12: (4 + 5/6 + 6/7 + 7/8 + 8/9 + 9/10) / 12; p_10 = 9/10, r_10 =
    # 9/12
    predicted = {(i, 99 if i == 4 else i): 1.0 - i / 100 for i in range(10)}
    true = [(i, i) for i in range(12)]
    expected = (4 + 5 / 6 + 6 / 7 + 7 / 8 + 8 / 9 + 9 / 10) / 12
    assert expected == pytest.approx(0.6961970899, abs=1e-10)
    assert micro_average_precision(as_predictions(predicted), as_truth(true)) == pytest.approx(
        expected, abs=1e-12
    )
    point = recall_at_precision(as_predictions(predicted), as_truth(true))
    assert (point.recall, point.threshold) == (0.75, 0.91)


def test_nothing_predicted_scores_zero_and_nothing_to_find_has_no_score():
    assert micro_average_precision(as_predictions({}), as_truth([(0, 0)])) == 0.0
    assert recall_at_precision(as_predictions({}), as_truth([(0, 0)])) is None
    assert np.isnan(micro_average_precision(as_predictions({(0, 0): 1.0}), as_truth([])))


def test_half_a_million_predictions_are_quick():
    random = np.random.RandomState(0)
    query, reference = np.divmod(random.permutation(50000 * 100)[:500000], 100)
    predictions = Predictions(query, reference * 9999, random.standard_normal(500000))
    truth = as_truth([(q, 0) for q in range(10000)])
    seconds = []
    for _ in range(3):
        start = time.process_time()
        micro_average_precision(predictions, truth)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.2
