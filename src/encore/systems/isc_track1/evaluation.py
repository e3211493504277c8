"""What a submission is worth: both published definitions of the metrics over its CSV file (spec
isc-track1-test 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encore.metrics.definitions import ISC2021, PLATFORM
from encore.metrics.micro_ap import micro_average_precision
from encore.metrics.pairs import GroundTruth, contained
from encore.metrics.predictions import PairIds, read_evaluation, read_ground_truth
from encore.metrics.recall_at_rank import ranks_of_true_pairs
from encore.metrics.reported import reported
from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.picture_ids import QUERIES, REFERENCES


@dataclass(frozen=True, eq=False)
class NumberedTruth:
    """A ground truth whose ids are picture numbers (50000 for Q50000), and its file."""

    pairs: GroundTruth
    path: str
    drop_unlabelled: bool = False
    """Predictions of queries that it does not name are left out; else they are refused."""

    def check(self, rows):
        """Refuse a ScoreList with a query that the ground truth does not name, by file and line."""
        if self.drop_unlabelled:
            return
        labelled = np.zeros(10**QUERIES.digits, dtype=bool)
        labelled[self.pairs.labelled] = True
        unlabelled = np.flatnonzero(~labelled[QUERIES.number(rows.query)])
        if len(unlabelled):
            _refuse_unlabelled(
                rows.place(unlabelled[0]), QUERIES.texts(rows.query[unlabelled[:1]])[0], self.path
            )

    def micro_ap(self, predictions):
        """Micro average precision (isc2021) of Predictions by picture number."""
        if self.drop_unlabelled:
            predictions = predictions.select(contained(predictions.query, self.pairs.labelled))
        return micro_average_precision(predictions, self.pairs)


def read_numbered_truth(path, queries, drop_unlabelled=False):
    """The NumberedTruth of a CSV file; `queries`: a range of the numbers that exist.

    Refuses, by file and line, a query that is none of them and a reference that is no reference id; and a
    truth without a pair.
    """
    ids = PairIds()
    truth = read_ground_truth(path, ids)
    if not len(truth):
        raise Refusal("{}: expected at least one true pair, found none".format(path))
    query = _numbers(path, 0, QUERIES, ids.queries.names)
    reference = _numbers(path, 1, REFERENCES, ids.references.names)
    outside = np.flatnonzero((query < queries.start) | (query >= queries.stop))
    if len(outside):
        name = ids.queries.names[outside[0]]
        raise Refusal(
            "{}: {}: the query {} is none of this test's, Q{:05d} to Q{:05d}: take their ground truth".format(
                path, _line_of(path, 0, name), name, queries.start, queries.stop - 1
            )
        )
    pairs = GroundTruth(query[truth.query], reference[truth.reference], query[truth.labelled])
    return NumberedTruth(pairs, str(path), drop_unlabelled)


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
        _refuse_unlabelled("{}: row {}".format(path, row + 1), name, ground_truth_path)
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


def _refuse_unlabelled(place, query, truth_path):
    raise Refusal(
        "{}: the query {} is not in {}: take the ground truth of all queries, or set "
        "isc_track1.fuse.unlabelled to drop to leave such rows out, as the platform does".format(
            place, query, truth_path
        )
    )


def _numbers(path, column, space, names):
    """int64 (n,): the numbers of whole pictures' ids `names` from a column of the ground truth."""
    numbers = np.zeros(len(names), dtype=np.int64)
    for i, name in enumerate(names):
        digits = name[len(space.letter) :]
        if not (name.startswith(space.letter) and len(digits) == space.digits and digits.isdecimal()):
            raise Refusal(
                "{}: {}: expected an id of {} and {} digits, found {!r}".format(
                    path, _line_of(path, column, name), space.letter, space.digits, name[:80]
                )
            )
        numbers[i] = int(digits)
    return numbers


def _line_of(path, column, name):
    with open(str(path), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.rstrip("\n").split(",")[column] == name:
                return "line {}".format(number)
    raise AssertionError("{} is not in {} any more".format(name, path))
