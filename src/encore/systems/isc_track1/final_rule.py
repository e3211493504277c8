"""The final score of a query and a reference: the mean of the two best of all their rows (spec
isc-track1-test 4.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encore.metrics.pairs import Predictions
from encore.systems.isc_track1.packing import packed
from encore.systems.isc_track1.picture_ids import QUERIES, REFERENCES
from encore.systems.isc_track1.score_list import joined

MAX_RESULTS = 500000


@dataclass(frozen=True, eq=False)
class BestTwo:
    """Of every pair of whole pictures, sorted: `query` and `reference` int64 (n,) numbers, `best` float64 the
    highest score of its rows, `second` the other score of the final rule, NaN where there is none."""

    query: np.ndarray
    reference: np.ndarray
    best: np.ndarray
    second: np.ndarray

    def final(self):
        """Predictions (by picture number): the mean of both scores, or the best where it stands alone."""
        mean = np.where(np.isnan(self.second), self.best, (self.best + self.second) / 2.0)
        return Predictions(self.query, self.reference, mean)

    def highest(self):
        """Predictions (by picture number): the best score alone."""
        return Predictions(self.query, self.reference, self.best)


def best_two(lists, penalty):
    """The BestTwo over the rows of all `lists` (ScoreList); `penalty` (Penalty) knows their scores.

    The second score is the highest below the best one that exactly one row has, exact duplicates counted
    once. Published quirk: two crops of one query that share a score cancel each other, and so does every
    other row that shares the best one. Equal scores are equal grades here, whole numbers, so that nothing is
    left to rounding.
    """
    rows = joined(lists)
    groups = packed(QUERIES.number(rows.query), REFERENCES.number(rows.reference), rows.grade)
    order = np.argsort(groups, kind="stable")
    groups = groups[order]
    starts = np.flatnonzero(np.append(np.ones(min(len(groups), 1), dtype=bool), groups[1:] != groups[:-1]))
    del groups
    single = _of_one_row(rows, order, np.diff(np.append(starts, len(order))))
    first = order[starts]  # groups of one pair and one score, by pair and rising score
    query, reference = QUERIES.number(rows.query[first]), REFERENCES.number(rows.reference[first])
    grade = rows.grade[first]
    last = np.append((query[1:] != query[:-1]) | (reference[1:] != reference[:-1]), True)[: len(first)]
    best = np.flatnonzero(last)  # of every pair, its group with the highest score
    candidate = np.where(single & ~last, np.arange(len(first)), -1)
    second = np.maximum.accumulate(candidate)[best]
    missing = second < np.append(np.zeros(1, dtype=np.int64), best[:-1] + 1)[: len(best)]
    second_score = penalty.scores(grade[np.where(missing, best, second)])
    second_score[missing] = np.nan
    return BestTwo(
        query[best].astype(np.int64),
        reference[best].astype(np.int64),
        penalty.scores(grade[best]),
        second_score,
    )


def highest(lists, penalty):
    """Predictions (by picture number): of every pair of whole pictures the highest score of its rows."""
    return best_two(lists, penalty).highest()


def most_confident(predictions, count=MAX_RESULTS):
    """The `count` Predictions with the highest scores, falling.

    Fixed here, arbitrary as published: equal scores stand by query and reference, at the cut too.
    """
    score = predictions.score
    kept = np.arange(len(score))
    if len(score) > count:
        kept = np.flatnonzero(score >= np.partition(score, len(score) - count)[len(score) - count])
    order = np.lexsort((predictions.reference[kept], predictions.query[kept], -score[kept]))
    return predictions.select(kept[order[:count]])


def higher_of(predictions, others):
    """Predictions with every pair of either, at its higher score, sorted by pair."""
    query = np.concatenate([predictions.query, others.query])
    reference = np.concatenate([predictions.reference, others.reference])
    score = np.concatenate([predictions.score, others.score])
    keys = packed(query, reference)
    order = np.lexsort((score, keys))
    last = np.append(keys[order][1:] != keys[order][:-1], True)[: len(order)]
    chosen = order[last]
    return Predictions(query[chosen], reference[chosen], score[chosen])


def _of_one_row(rows, order, sizes):
    """bool (groups,): which groups, `sizes` rows each in `order`, hold one distinct row."""
    single = np.ones(len(sizes), dtype=bool)
    several = np.flatnonzero(sizes > 1)
    group = np.repeat(several, sizes[several])
    keys = rows.select(order[np.repeat(sizes > 1, sizes)]).keys()
    single[group[1:][(group[1:] == group[:-1]) & (keys[1:] != keys[:-1])]] = False
    return single
