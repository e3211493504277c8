"""Micro average precision, and recall at a precision, over one ranking of all predictions of all queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encore.metrics.pairs import contained, pair_keys


@dataclass(frozen=True)
class OperatingPoint:
    """A place on the precision-recall curve: `recall`, and the `threshold` on the score that reaches it."""

    recall: float
    threshold: float


@dataclass(frozen=True, eq=False)
class Ranking:
    """Predictions from the most to the least confident: `correct` bool (n,), `score` float64 (n,), falling;
    `positives`: how many pairs were to be found (N)."""

    correct: np.ndarray
    score: np.ndarray
    positives: int

    def precision(self):
        """p_i = TP_i / i, float64 (n,)."""
        return np.cumsum(self.correct) / np.arange(1, len(self.correct) + 1, dtype=np.float64)

    def recall(self):
        """r_i = TP_i / N, float64 (n,)."""
        return np.cumsum(self.correct) / float(self.positives)

    def micro_average_precision(self):
        """sum_i (r_i - r_{i-1}) p_i with r_0 = 0; pairs never found add 0. NaN when there is nothing to
        find."""
        if not self.positives:
            return float("nan")  # published: an empty ground truth divides 0 by 0
        ranks = np.flatnonzero(self.correct) + 1
        return float(np.sum(np.arange(1, len(ranks) + 1) / ranks.astype(np.float64)) / self.positives)

    def recall_at_precision(self, precision=0.9):
        """The first OperatingPoint of the largest recall among p_i >= `precision` (equal counts), or None."""
        reaching = np.flatnonzero(self.precision() >= precision)
        if not len(reaching):
            return None
        recall = self.recall()[reaching]
        best = int(np.argmax(recall))
        return OperatingPoint(float(recall[best]), float(self.score[reaching[best]]))

    def curve(self):
        """(recall, precision) float64, at every correct prediction and at the last one: all the corners there
        are."""
        corners = np.flatnonzero(self.correct)
        last = len(self.correct) - 1
        if last >= 0 and not self.correct[last]:
            corners = np.append(corners, last)
        return self.recall()[corners], self.precision()[corners]


def rank_predictions(predictions, truth, positives=None):
    """Rank `predictions` by falling score, the wrong ones first among equals (pessimistic).

    `positives` defaults to the number of true pairs, repeated ones counted (spec isc-track1-test 5).
    """
    correct = contained(*pair_keys(predictions, truth))
    wrong_first = np.concatenate([np.flatnonzero(~correct), np.flatnonzero(correct)])
    order = wrong_first[np.argsort(-predictions.score[wrong_first], kind="stable")]
    return Ranking(correct[order], predictions.score[order], len(truth) if positives is None else positives)


def micro_average_precision(predictions, truth):
    """Micro average precision by the official definition, in [0, 1] (spec isc-track1-test 5)."""
    return rank_predictions(predictions, truth).micro_average_precision()


def recall_at_precision(predictions, truth, precision=0.9):
    """The OperatingPoint of the largest recall at `precision` or better, or None where no point reaches
    it."""
    return rank_predictions(predictions, truth).recall_at_precision(precision)


def precision_recall_curve(predictions, truth):
    """(recall, precision) float64 (n,), one point a prediction, most confident first."""
    ranking = rank_predictions(predictions, truth)
    return ranking.recall(), ranking.precision()
