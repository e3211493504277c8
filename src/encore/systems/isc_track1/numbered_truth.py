"""The ground truth of a test by picture number, and what it must name (spec isc-track1-test 5).

The stage `crop_queries` asks for it before the long work, the stage `fuse` of every list that it reads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encore.metrics.micro_ap import micro_average_precision
from encore.metrics.pairs import GroundTruth, contained
from encore.metrics.predictions import PairIds, read_ground_truth
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
        self._refuse_unlabelled(rows.query, rows.place)

    def check_pictures(self, names, source, chosen):
        """Refuse query pictures with which no submission can be valued, by file and row.

        names: file names of the queries in their order at `source`. chosen: positions of those that are
        taken. Refuses a name that is no id, a chosen query that the ground truth does not name (unless those
        are dropped), and chosen ones without any true pair.
        """
        codes = QUERIES.encode([name[:-4] for name in names], source)[chosen]
        self._refuse_unlabelled(codes, lambda i: "{}: row {}".format(source, chosen[i] + 1))
        if not contained(self.pairs.query, QUERIES.number(codes)).any():
            raise Refusal(
                "{}: expected at least one true pair of the {} queries taken of {}, found none: take their "
                "ground truth".format(self.path, len(chosen), source)
            )

    def _refuse_unlabelled(self, codes, place):
        """codes: int32 (n,) of QUERIES; place: from a position among them to the text that says where it
        is."""
        if self.drop_unlabelled:
            return
        labelled = np.zeros(10**QUERIES.digits, dtype=bool)
        labelled[self.pairs.labelled] = True
        unlabelled = np.flatnonzero(~labelled[QUERIES.number(codes)])
        if len(unlabelled):
            refuse_unlabelled(place(unlabelled[0]), QUERIES.texts(codes[unlabelled[:1]])[0], self.path)

    def counted(self, predictions):
        """Those of the Predictions by picture number that are measured: all, or those of labelled queries."""
        if self.drop_unlabelled:
            return predictions.select(contained(predictions.query, self.pairs.labelled))
        return predictions

    def micro_ap(self, predictions):
        """Micro average precision (isc2021) of Predictions by picture number."""
        return micro_average_precision(self.counted(predictions), self.pairs)


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


def refuse_unlabelled(place, query, truth_path):
    """Refuse, by its `place` (file and row), a query that the ground truth does not name."""
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
