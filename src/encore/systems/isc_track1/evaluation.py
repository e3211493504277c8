"""What a submission is worth: both published definitions of the metrics over its CSV file (spec
isc-track1-test 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encore.metrics.definitions import ISC2021, PLATFORM
from encore.metrics.pairs import contained
from encore.metrics.predictions import read_evaluation
from encore.metrics.recall_at_rank import ranks_of_true_pairs
from encore.metrics.reported import reported
from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.numbered_truth import refuse_unlabelled


@dataclass(frozen=True, eq=False)
class SubmissionValue:
    """`metrics`: flat dict of numbers; `curve`: (recall, precision) float64, the corners of the
    precision-recall curve (isc2021)."""

    metrics: dict
    curve: tuple


def evaluate_submission(path, ground_truth_path, drop_unlabelled=False):
    """The SubmissionValue of a submission's CSV file.

    Refuses, by file and row, more rows than the challenge takes, and a query that the ground truth does not
    name: the official definition would count it as wrong, the platform's leaves it out. With
    `drop_unlabelled` both leave it out. `recall_at_p90_isc2021` and `threshold_at_p90_isc2021` are not there
    where precision 0.9 is never reached.
    """
    predictions, truth, ids = read_evaluation(path, ground_truth_path)
    if len(predictions) > ISC2021.largest_list:
        raise Refusal(
            "{}: row {}: a submission has at most {} rows, this one {}: keep the most confident".format(
                path, ISC2021.largest_list + 1, ISC2021.largest_list, len(predictions)
            )
        )
    labelled = contained(predictions.query, truth.labelled)
    if not labelled.all() and not drop_unlabelled:
        row = int(np.argmin(labelled))
        name = ids.queries.names[predictions.query[row]]
        refuse_unlabelled("{}: row {}".format(path, row + 1), name, ground_truth_path)
    predictions = predictions.select(labelled)
    official, platform = (definition.evaluate(predictions, truth) for definition in (ISC2021, PLATFORM))
    ranks = ranks_of_true_pairs(predictions, truth)
    metrics = dict(
        reported(official, platform, ranks),
        labelled_queries=len(truth.labelled),
        true_pairs=len(truth),
        predictions=len(predictions),
    )
    return SubmissionValue(metrics, official.ranking.curve())
