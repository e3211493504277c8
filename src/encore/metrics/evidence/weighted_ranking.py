"""A ranking in which queries count several times or not at all, for many such counts at once."""

from __future__ import annotations

import numpy as np

from encore.metrics.evidence.resampling import quotient, weighted_mean
from encore.metrics.pairs import contained, pair_keys
from encore.metrics.recall_at_rank import ranks_of_true_pairs

PRECISION = 0.9


class WeightedRanking:
    """`predictions` against `truth` by a MetricDefinition, sorted once.

    A query that counts w times stands for w queries of names of their own, with the same predictions and true
    pairs. Their copies of a prediction have one score, so they stand together: of w copies of a right one
    behind T right ones and n in all, copy j has the precision (T + j) / (n + j). Wrong ones stand first among
    equals, in whatever number.
    """

    def __init__(self, predictions, truth, definition):
        if definition.drop_unlabelled:
            predictions = predictions.select(contained(predictions.query, truth.labelled))
        keys, true_keys = pair_keys(predictions, truth)
        correct = contained(keys, true_keys)
        order = np.lexsort((correct, -predictions.score))
        self._query = predictions.query[order]
        self._hits = np.flatnonzero(correct[order])
        self._unreached = np.nan if definition.unreached_recall is None else definition.unreached_recall
        once = np.unique(true_keys, return_index=True)[1] if definition.count_pairs_once else slice(None)
        self._positive_query = truth.query[once]
        self._truth, self._predictions, self._ranks = truth, predictions, None

    @property
    def numbers(self):
        """How many are held for a row of counts."""
        return len(self._query)

    def values(self, counts):
        """{micro_ap, recall_at_p90: float64 (d,)} for `counts` int32 (d, queries): how often each counts."""
        if len(self._hits):
            # the rows behind the last right one decide nothing
            after = np.cumsum(counts[:, self._query[: self._hits[-1] + 1]], axis=1)[:, self._hits]
        else:
            after = np.zeros((len(counts), 0), dtype=np.int64)
        own = counts[:, self._query[self._hits]]
        right = np.cumsum(own, axis=1)
        positives = counts[:, self._positive_query].sum(axis=1)
        precisions = np.zeros(len(counts))
        for copy in range(1, int(own.max()) + 1 if own.size else 1):
            precision = quotient(right - own + copy, after - own + copy)
            precisions += np.where(own >= copy, precision, 0).sum(axis=1)
        return {
            "micro_ap": quotient(precisions, positives),
            "recall_at_p90": self._recall(own, right, after, positives),
        }

    def recall_at_rank(self, counts, k):
        """float64 (d,): the share of true pairs whose reference is among the first k of its query."""
        if self._ranks is None:
            self._ranks = ranks_of_true_pairs(self._predictions, self._truth)
        return weighted_mean(counts[:, self._truth.query], self._ranks < k)

    def _recall(self, own, right, after, positives):
        reached = np.where(own > 0, quotient(right, after), 0) >= PRECISION
        recall = np.where(reached, quotient(right, positives[:, None]), -1.0)
        best = recall.max(axis=1) if recall.shape[1] else np.full(len(own), -1.0)
        return np.where(best < 0, self._unreached, best)
