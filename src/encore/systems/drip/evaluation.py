"""What descriptors are worth by the challenge's script: micro average precision and recall@P90 (spec drip
6.4)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Optional

from encore.metrics.definitions import PLATFORM
from encore.metrics.evidence.ranked_pairs import Measured, RankedPairs
from encore.metrics.pairs import GroundTruth, Predictions
from encore.metrics.predictions import read_evaluation, read_ground_truth_of
from encore.search.capped import best_pairs
from encore.search.tiling import rows_of


@dataclass(frozen=True)
class DescriptorValue:
    """`average_precision` (micro) and `recall_p90`, the highest recall with a precision of 0.9 or more (0
    where there is none), both in [0, 1]."""

    average_precision: float
    recall_p90: float
    predictions: Optional[Predictions] = field(default=None, compare=False, repr=False)
    """What was ranked, by rows of the descriptors."""
    truth: Optional[GroundTruth] = field(default=None, compare=False, repr=False)

    def json(self):
        """One line of JSON with both names, as published."""
        return json.dumps({"average_precision": self.average_precision, "recall_p90": self.recall_p90})


def evaluate_descriptors(descriptors, ground_truth_path, products=None):
    """The DescriptorValue of a Submission, against a CSV of query_id,reference_id (no reference: none is
    right).

    Of the queries that the ground truth names, 10 times as many nearest pairs over all of them are exactly
    kept; score: minus the squared L2 distance. `products`: by what distances are computed. Refuses a query or
    reference of the ground truth without a descriptor.
    """
    if products is not None and products.metric != "squared_l2":
        raise ValueError("descriptors are searched by squared_l2, not " + products.metric)
    truth = read_ground_truth_of(ground_truth_path, descriptors.query_ids, descriptors.reference_ids)
    queries = rows_of(descriptors.query, "query")
    labelled = queries.read(0, queries.shape[0])[truth.labelled]
    count = PLATFORM.search_results(truth)
    pairs = best_pairs(labelled, descriptors.reference, count, "squared_l2", products)
    return _value(Predictions(truth.labelled[pairs.query], pairs.reference, pairs.score), truth)


def evaluate_table(predictions_path, ground_truth_path):
    """The DescriptorValue of a CSV of query_id,reference_id,score: the matching track's."""
    predictions, truth, _ = read_evaluation(predictions_path, ground_truth_path)
    return _value(predictions, truth)


def _value(predictions, truth):
    evaluation = PLATFORM.evaluate(predictions, truth)
    return DescriptorValue(evaluation.micro_ap, evaluation.recall_at_p90, predictions, truth)


def ranked_pairs(values, descriptors):
    """The evidence of {prefix of its metrics' names: DescriptorValue} of the rows of a Submission."""
    names = {"average_precision": "micro_ap", "recall_p90": "recall_at_p90"}
    return RankedPairs.of(
        next(iter(values.values())).truth,
        {prefix + "ranked": value.predictions for prefix, value in values.items()},
        [
            Measured(prefix + name, prefix + "ranked", PLATFORM.name, what)
            for prefix in values
            for name, what in names.items()
        ],
        lambda rows: [descriptors.query_ids[row] for row in rows.tolist()],
        lambda rows: [descriptors.reference_ids[row] for row in rows.tolist()],
    )
