"""Face verification by the LFW protocol: is a pair of pictures the same person, in ten folds of pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encore.runtime.refusal import Refusal


@dataclass(frozen=True, eq=False)
class Verification:
    """Accuracy of every fold at the threshold that is best for the other folds.

    `folds` int64 (f,), their numbers, rising; `accuracies` float64 (f,); `thresholds` float64 (f,): a pair is
    called the same person when its similarity is at least the threshold.
    """

    folds: np.ndarray
    accuracies: np.ndarray
    thresholds: np.ndarray

    @property
    def accuracy(self):
        """Mean over the folds, in [0, 1]."""
        return float(self.accuracies.mean())

    @property
    def deviation(self):
        """Standard deviation over the folds (divisor f), the number usually printed after the accuracy."""
        return float(self.accuracies.std())

    @property
    def standard_error(self):
        """Standard error of the mean as the LFW report defines it: deviation with divisor f - 1, over
        sqrt(f)."""
        return float(self.accuracies.std(ddof=1) / np.sqrt(len(self.accuracies)))


def verify(similarities, same, folds):
    """The Verification of n pairs: `similarities` float (n,), larger = more alike; `same` bool (n,); `folds`
    int (n,), the fold of each pair.

    Every similarity of the other folds is tried as threshold, and one above all; among the best ones the
    largest is taken. Refused: NaN, shapes that differ, fewer than two folds (LFW report of 2007, section 4,
    ten folds of 600 pairs).
    """
    similarities, same = _pairs(similarities, same)
    folds = np.asarray(folds)
    if folds.shape != similarities.shape or folds.dtype.kind not in "iu" or len(np.unique(folds)) < 2:
        raise Refusal(
            "expected a fold number for each of the {} pairs and at least two folds, found {} of shape {} "
            "with {}; number the folds from 0".format(
                len(similarities), folds.dtype, folds.shape, len(np.unique(folds))
            )
        )
    numbers = np.unique(folds).astype(np.int64)
    accuracies, thresholds = [], []
    for number in numbers:
        held_out = folds == number
        threshold = _best_threshold(similarities[~held_out], same[~held_out])
        called_same = similarities[held_out] >= threshold
        accuracies.append(np.mean(called_same == same[held_out]))
        thresholds.append(threshold)
    return Verification(numbers, np.array(accuracies), np.array(thresholds, dtype=np.float64))


def true_positive_rate(similarities, same, false_positive_rate=1e-3):
    """Largest share of same-person pairs accepted (similarity >= threshold) while at most
    `false_positive_rate` of the other pairs are, in [0, 1].

    Arguments as `verify`. Refused: no pair of one kind.
    """
    similarities, same = _pairs(similarities, same)
    right, wrong, _ = _accepted(similarities, same)
    if not right[-1] or not wrong[-1]:
        raise Refusal(
            "expected pairs of the same person and of different ones, found {} and {}; the rates need "
            "both".format(int(right[-1]), int(wrong[-1]))
        )
    allowed = wrong / float(wrong[-1]) <= false_positive_rate
    return float(right[allowed].max() / float(right[-1])) if allowed.any() else 0.0


def _best_threshold(similarities, same):
    """The largest threshold among those of the highest accuracy."""
    right, wrong, thresholds = _accepted(similarities, same)
    return thresholds[
        np.argmax(right - wrong)
    ]  # the first of equals; accuracy = (right - wrong + others) / n


def _accepted(similarities, same):
    """(right, wrong int64, threshold float64): how many pairs of the same person and of different ones reach
    a threshold, for infinity and every similarity there is, falling."""
    order = np.argsort(-similarities, kind="stable")
    falling = similarities[order]
    last = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(falling) - 1)
    right = np.cumsum(same[order])[last]
    none = np.zeros(1, dtype=np.int64)
    return (
        np.concatenate([none, right]),
        np.concatenate([none, last + 1 - right]),
        np.concatenate([[np.inf], falling[last]]),
    )


def _pairs(similarities, same):
    similarities, same = np.asarray(similarities, dtype=np.float64), np.asarray(same)
    if similarities.ndim != 1 or same.shape != similarities.shape or same.dtype != bool or not len(same):
        raise Refusal(
            "expected a similarity and a bool for each pair, found shapes {} and {} of {}; list the pairs "
            "once".format(similarities.shape, same.shape, same.dtype)
        )
    if not np.isfinite(similarities).all():
        raise Refusal(
            "expected similarities that are finite numbers, found {} at pair {}; look at its features".format(
                similarities[~np.isfinite(similarities)][0], int(np.argmin(np.isfinite(similarities)))
            )
        )
    return similarities, same
