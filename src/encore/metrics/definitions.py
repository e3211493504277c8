"""The two published definitions of the copy detection metrics, as values that a claim can name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np

from encore.metrics.micro_ap import Ranking, rank_predictions
from encore.metrics.pairs import contained, first_duplicate, pair_keys
from encore.runtime.refusal import Refusal


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a definition makes of a list of predictions.

    `micro_ap`; `recall_at_p90` and `threshold_at_p90` (None where precision 0.9 is never reached and the
    definition has no number for that); `ranking`: the ranked predictions that were counted.
    """

    micro_ap: float
    recall_at_p90: Optional[float]
    threshold_at_p90: Optional[float]
    ranking: Ranking


@dataclass(frozen=True)
class MetricDefinition:
    """How micro average precision and recall@P90 are counted (the table at the end of spec isc-track1-test
    5)."""

    name: str
    drop_unlabelled: bool
    """predictions of queries that the ground truth does not name are dropped; else they count as wrong"""
    count_pairs_once: bool
    """a pair that the ground truth repeats counts once in N; else as often as it is listed"""
    checks_list: bool
    """repeated predictions, and more than `largest_list` of them, are refused"""
    unreached_recall: Optional[float]
    """recall@P90 where precision 0.9 is never reached"""
    accepts_empty: bool
    """an empty list of predictions has a score (0); else it is refused"""
    largest_list: int = 500000
    """most predictions in a submitted list"""
    results_per_labelled_query: Optional[int] = None
    """descriptor track: global search results per labelled query; None: `largest_list` results in all"""

    def evaluate(self, predictions, truth):
        """The Evaluation of `predictions` (Predictions) against `truth` (GroundTruth); Refusal on a bad
        list."""
        if self.checks_list:
            self._check_list(predictions, truth)
        if self.drop_unlabelled:
            predictions = predictions.select(contained(predictions.query, truth.labelled))
        if not len(predictions) and not self.accepts_empty:
            raise Refusal(
                "expected at least one prediction of a labelled query, found none; the {} definition has "
                "no value there (its published script fails)".format(self.name)
            )
        positives = len(np.unique(pair_keys(predictions, truth)[1])) if self.count_pairs_once else len(truth)
        ranking = rank_predictions(predictions, truth, positives)
        point = ranking.recall_at_precision(0.9)
        return Evaluation(
            ranking.micro_average_precision(),
            point.recall if point else self.unreached_recall,
            point.threshold if point else None,
            ranking,
        )

    def search_results(self, truth):
        """How many pairs the descriptor track's global search returns when `truth` is the ground truth."""
        if self.results_per_labelled_query is None:
            return self.largest_list
        return self.results_per_labelled_query * len(truth.labelled)

    def _check_list(self, predictions, truth):
        if len(predictions) > self.largest_list:
            raise Refusal(
                "too many predictions ({} > {}); keep the {} most confident".format(
                    len(predictions), self.largest_list, self.largest_list
                )
            )
        duplicate = first_duplicate(pair_keys(predictions, truth)[0])
        if duplicate is not None:
            raise Refusal(
                "Predictions contains duplicates. Expected every pair once, found predictions {} and {} "
                "to be the same pair; keep its best score".format(duplicate[0] + 1, duplicate[1] + 1)
            )


ISC2021 = MetricDefinition(
    "isc2021",
    drop_unlabelled=False,
    count_pairs_once=False,
    checks_list=True,
    unreached_recall=None,
    accepts_empty=True,
)
"""The official evaluation package of the challenge."""

PLATFORM = MetricDefinition(
    "platform",
    drop_unlabelled=True,
    count_pairs_once=True,
    checks_list=False,
    unreached_recall=0.0,
    accepts_empty=False,
    results_per_labelled_query=10,
)
"""The metric script of the competition platform, which made the leaderboard."""

DEFINITIONS = {definition.name: definition for definition in (ISC2021, PLATFORM)}
