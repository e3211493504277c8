import numpy as np
import pytest

from encore.metrics.verification import true_positive_rate, verify
from encore.runtime.refusal import Refusal


def literal(similarities, same, folds):
    """[(accuracy, threshold)] of each fold, every threshold tried on every pair."""
    found = []
    for fold in sorted(set(folds)):
        train = [i for i, f in enumerate(folds) if f != fold]
        test = [i for i, f in enumerate(folds) if f == fold]

        def accuracy(threshold, pairs):
            return sum((similarities[i] >= threshold) == same[i] for i in pairs) / len(pairs)

        candidates = sorted({similarities[i] for i in train} | {float("inf")}, reverse=True)
        best = max(candidates, key=lambda threshold: accuracy(threshold, train))  # the first of equals
        found.append((accuracy(best, test), best))
    return found


def test_worked_example():
    # fold 0 is judged by fold 1: at .6 three of four pairs are right, at .8 too (and .8 is larger): .9 yes,
    # .7 no, .2 no, .1 no -> 4 of 4 minus the same-person pair at .7
    similarities = [0.9, 0.7, 0.2, 0.1, 0.8, 0.6, 0.7, 0.3]
    same = np.array([True, True, False, False, True, True, False, False])
    folds = [0] * 4 + [1] * 4
    found = verify(similarities, same, folds)
    assert found.thresholds.tolist() == [0.8, 0.7]
    # fold 1 by fold 0: .7 parts it fully; there .8 yes, .6 no (wrong), .7 yes (wrong), .3 no
    assert found.accuracies.tolist() == [0.75, 0.5]
    assert found.accuracy == 0.625
    assert found.deviation == pytest.approx(0.125)
    assert found.standard_error == pytest.approx(0.125)
    assert found.folds.tolist() == [0, 1]


def test_equals_the_literal_definition():
    random = np.random.RandomState(0)
    for case in range(60):
        n = random.randint(6, 60)
        same = random.rand(n) < 0.5
        similarities = np.round(random.standard_normal(n) + same, 1 if case % 2 else 6)
        folds = random.permutation(np.arange(n) % 3)
        found = verify(similarities, same, folds)
        expected = literal(similarities.tolist(), same.tolist(), folds.tolist())
        assert list(zip(found.accuracies, found.thresholds)) == expected


def test_nothing_is_called_the_same_where_the_other_folds_hold_only_different_pairs():
    found = verify([0.5, 0.9], np.array([True, False]), [0, 1])
    assert found.thresholds.tolist() == [np.inf, 0.5]
    assert found.accuracies.tolist() == [0, 0]


def test_true_positive_rate_worked_example():
    # 1000 different pairs, the best at .9 and the next at .5: one in a thousand may pass, so .5 is the first
    # threshold too low; of the same-person pairs .95, .9 and .6 pass, .5 does not
    different = np.concatenate([[0.9, 0.5], np.linspace(0, 0.4, 998)])
    similarities = np.concatenate([[0.95, 0.9, 0.6, 0.5], different])
    same = np.arange(len(similarities)) < 4
    assert true_positive_rate(similarities, same) == 0.75
    assert true_positive_rate(similarities, same, 1e-4) == 0.25
    assert true_positive_rate(similarities, same, 2e-3) == 1
    assert true_positive_rate([0.1, 0.9], np.array([True, False])) == 0


@pytest.mark.parametrize(
    "similarities, same, folds, message",
    [
        ([0.1, np.nan], [True, False], [0, 1], "found nan at pair 1"),
        ([0.1, np.inf], [True, False], [0, 1], "found inf at pair 1"),
        ([0.1], [True, False], [0, 1], r"found shapes \(1,\) and \(2,\)"),
        ([0.1, 0.2], [1, 0], [0, 1], "a similarity and a bool"),
        ([], np.empty(0, dtype=bool), [], "a similarity and a bool"),
        ([0.1, 0.2], [True, False], [0, 0], "at least two folds"),
        ([0.1, 0.2], [True, False], [0, 1, 2], "a fold number for each of the 2 pairs"),
    ],
)
def test_bad_input_is_refused(similarities, same, folds, message):
    with pytest.raises(Refusal, match=message) as refusal:
        verify(similarities, np.array(same), folds)
    assert "\n" not in str(refusal.value)


def test_rates_need_pairs_of_both_kinds():
    with pytest.raises(Refusal, match="found 0 and 2"):
        true_positive_rate([0.1, 0.2], np.array([False, False]))
