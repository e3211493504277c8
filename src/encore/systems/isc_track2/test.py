"""The test of the descriptor track: from descriptors to the published numbers (spec isc-track2 3).

Multi-scale descriptors, queries stretched against the training set, a global search for the nearest pairs,
and micro average precision over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np

from encore.data.descriptors import Submission
from encore.metrics.definitions import ISC2021, PLATFORM
from encore.metrics.evidence.counts import Counts
from encore.metrics.evidence.ranked_pairs import Measured, RankedPairs
from encore.metrics.pairs import GroundTruth, Predictions
from encore.metrics.predictions import read_ground_truth_of, write_predictions
from encore.metrics.recall_at_rank import ranks_of_true_pairs
from encore.metrics.reported import reported, write_curve
from encore.runtime.refusal import Refusal
from encore.search.capped import Pairs
from encore.search.multi_scale import mean_of_scales
from encore.search.spread_search import SearchHere
from encore.search.stretching import PUBLISHED as PUBLISHED_STRETCHING
from encore.search.stretching import Stretching

SEARCHES = ("capped", "knn")
AT_ONCE = 1000
"""Descriptors counted at a time."""
MEASURES = (
    Measured("micro_ap_isc2021", "all", "isc2021", "micro_ap"),
    Measured("micro_ap_platform", "labelled", "platform", "micro_ap"),
    Measured("recall_at_p90_isc2021", "all", "isc2021", "recall_at_p90"),
    Measured("recall_at_p90_platform", "labelled", "platform", "recall_at_p90"),
    Measured("recall_at_1", "all", "isc2021", "recall_at_1"),
    Measured("recall_at_10", "all", "isc2021", "recall_at_10"),
)
"""What the evidence gives again, of the results among all queries and of those among the labelled ones."""


@dataclass(frozen=True)
class EvaluationRecipe:
    """How a submission is made and searched; the defaults are the published values."""

    stretching: Optional[Stretching] = PUBLISHED_STRETCHING
    """None: queries stay as they are"""
    search: str = "capped"
    """"capped": the best pairs over all queries together; "knn": the `neighbours` nearest of each query"""
    neighbours: int = 10
    """references per query of the "knn" search"""

    def __post_init__(self):
        if self.search not in SEARCHES:
            raise Refusal("expected search to be one of {}, found {!r}".format(SEARCHES, self.search))
        if self.neighbours < 1:
            raise Refusal("expected neighbours to be at least 1, found {}".format(self.neighbours))


PUBLISHED = EvaluationRecipe()


def multi_scale(scales):
    """One (ids, vectors) from those of every scale: their mean, L2-normalised again; the ids must agree."""
    scales = list(scales)
    for ids, _ in scales[1:]:
        if ids != scales[0][0]:
            raise Refusal(
                "expected the same pictures in the same order at every scale, found {} and {} ids that "
                "differ; extract the scales from one data set".format(len(scales[0][0]), len(ids))
            )
    return scales[0][0], mean_of_scales([vectors for _, vectors in scales])


def make_submission(queries, references, training=None, recipe=PUBLISHED, searches=None):
    """The Submission of (ids, vectors) of `queries` and `references`, multi-scale and L2-normalised.

    Queries are stretched against `training` (ids, vectors), which only a recipe with stretching needs.
    References stay as they are. `searches`: SearchHere (default) or SpreadSearch.
    """
    query_ids, query = queries
    reference_ids, reference = references
    if recipe.stretching is not None:
        if training is None:
            raise Refusal(
                "expected training descriptors for stretching, found none; extract them, or leave "
                "stretching out"
            )
        query = recipe.stretching.stretched(query, training[1], (searches or SearchHere()).nearest)
    return Submission(query, reference, list(query_ids), list(reference_ids))


@dataclass(frozen=True, eq=False)
class TestResult:
    """What a test gives: `metrics` (flat dict of numbers), `pairs` (Pairs, by rows of `submission`), `curve`
    ((recall, precision) float64, the corners of the precision-recall curve, isc2021 definition), and what was
    evaluated: `truth` and `lists` ({all, labelled: Predictions}), by rows too."""

    __test__ = False

    metrics: dict
    pairs: Pairs
    curve: tuple
    submission: Submission
    truth: GroundTruth
    lists: dict

    def evidence(self):
        """The RankedPairs from which the metrics are computed again."""
        return RankedPairs.of(
            self.truth,
            self.lists,
            MEASURES,
            lambda rows: [self.submission.query_ids[row] for row in rows.tolist()],
            lambda rows: [self.submission.reference_ids[row] for row in rows.tolist()],
        )

    def sizes(self):
        """The Counts of descriptors: the finite ones of queries and references, AT_ONCE by AT_ONCE;
        `dimension`, the components that each has, is stated, not computed again."""
        query, reference = self.submission.query, self.submission.reference
        parts = {"queries": _finite(query), "references": _finite(reference)}
        return Counts.of_sums(dict(parts, dimension=np.array([query.shape[1]])))

    def write_predictions(self, path):
        """Write the predictions that were evaluated as CSV: header query_id,reference_id,score; exact
        scores."""
        query_ids, reference_ids = (
            np.array(self.submission.query_ids),
            np.array(self.submission.reference_ids),
        )
        write_predictions(
            path,
            query_ids[self.pairs.query].tolist(),
            reference_ids[self.pairs.reference].tolist(),
            self.pairs.score,
        )

    def write_curve(self, path):
        """Write the precision-recall curve as CSV: header recall,precision."""
        write_curve(path, self.curve)


def evaluate(submission, ground_truth_path, recipe=PUBLISHED, searches=None):
    """Search `submission` and measure it against a ground truth CSV by both published definitions: a
    TestResult.

    isc2021 searches among all queries; the platform among the labelled ones only, for 10 results a labelled
    query. `recall_at_p90_isc2021` and `threshold_at_p90_isc2021` are left out where precision 0.9 is never
    reached: that definition has no number there. `searches`: SearchHere (default) or SpreadSearch. Refuses
    true pairs whose query or reference has no descriptor.
    """
    truth = read_ground_truth_of(ground_truth_path, submission.query_ids, submission.reference_ids)
    pairs = search(submission, recipe, ISC2021.search_results(truth), searches=searches)
    predictions = Predictions(pairs.query, pairs.reference, pairs.score)
    official = ISC2021.evaluate(predictions, truth)
    labelled = _labelled_pairs(submission, truth, recipe, pairs, searches)
    of_labelled = Predictions(labelled.query, labelled.reference, labelled.score)
    platform = PLATFORM.evaluate(of_labelled, truth)
    ranks = ranks_of_true_pairs(predictions, truth)
    metrics = dict(
        reported(official, platform, ranks),
        queries=len(submission.query),
        references=len(submission.reference),
        labelled_queries=len(truth.labelled),
        true_pairs=len(truth),
        predictions=len(pairs),
    )
    lists = {"all": predictions, "labelled": of_labelled}
    return TestResult(metrics, pairs, official.ranking.curve(), submission, truth, lists)


def _finite(vectors):
    """int64 (n / AT_ONCE,): rows without NaN or infinity, AT_ONCE at a time."""
    starts = range(0, len(vectors), AT_ONCE)
    rows = (np.isfinite(vectors[start : start + AT_ONCE]).all(axis=1) for start in starts)
    return np.array([np.count_nonzero(finite) for finite in rows], dtype=np.int64)


def _labelled_pairs(submission, truth, recipe, pairs, searches):
    """The platform's Pairs: among labelled queries only. `pairs` of all queries start with them if all are
    labelled."""
    results = PLATFORM.search_results(truth)
    if len(truth.labelled) == len(submission.query) and results <= ISC2021.search_results(truth):
        return Pairs(pairs.query[:results], pairs.reference[:results], pairs.score[:results])
    return search(submission, recipe, results, truth.labelled, searches)


def search(submission, recipe, results, among=None, searches=None):
    """At most `results` Pairs (row numbers of `submission`), nearest first, for the query rows `among` (all:
    None). `searches`: SearchHere (default) or SpreadSearch.

    Score: minus the squared L2 distance.
    """
    rows = np.arange(len(submission.query)) if among is None else among
    query, searches = submission.query[rows], searches or SearchHere()
    if recipe.search == "capped":
        pairs = searches.best_pairs(query, submission.reference, results)
        return Pairs(rows[pairs.query], pairs.reference, pairs.score)
    score, reference = searches.nearest(query, submission.reference, recipe.neighbours, "squared_l2")
    score, reference, query = score.ravel(), reference.ravel(), np.repeat(rows, score.shape[1])
    order = np.lexsort((reference, query, -score))[:results]
    return Pairs(query[order], reference[order], score[order])
