"""What joins the voted lists of one scale: filters and the penalty (spec isc-track1-test 4.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict

import numpy as np

from encore.metrics.pairs import contained
from encore.systems.isc_track1.packing import packed
from encore.systems.isc_track1.penalty import Penalty
from encore.systems.isc_track1.picture_ids import QUERIES, REFERENCES
from encore.systems.isc_track1.query_boxes import FIRST_DETECTION
from encore.systems.isc_track1.score_list import ScoreList, joined


@dataclass(frozen=True)
class TrustedQueries:
    """The queries whose scores are not penalised: the whole query and its best detections.

    Their names are Qxxxxx_0 and Qxxxxx_1000 to Qxxxxx_1019 with xxxxx among `count` numbers from `first`;
    the defaults are the published values. Published quirk: the multi-part list names the whole query
    Qxxxxx, so that all of it is penalised.
    """

    first: int = 50000
    count: int = 50000
    detections: int = 20

    def among(self, query):
        """bool (n,): which of the codes `query` are trusted."""
        number, part = QUERIES.number(query), QUERIES.part(query)
        detected = (part >= FIRST_DETECTION) & (part < FIRST_DETECTION + self.detections)
        return ((part == 0) | detected) & (number >= self.first) & (number < self.first + self.count)


@dataclass(frozen=True, eq=False)
class Combination:
    """What a voted list is put through before it joins the others.

    `small`: {least side: int32 codes of the augmented queries that are smaller}; `faces`: int32 codes of the
    references with a face.
    """

    small: Dict[int, np.ndarray]
    faces: np.ndarray
    trusted: TrustedQueries
    penalty: Penalty

    def of_queries(self, votes, least_query):
        """ScoreList of a vote on augmented queries: no duplicates, no small queries, penalised."""
        rows = votes.distinct()
        return self._penalised(rows.select(~contained(rows.query, self.small[least_query])))

    def of_parts(self, votes):
        """ScoreList of the vote on parts of references: no duplicates, no faces, whole pictures, penalised.

        Published quirk: faces are removed by a step that drops every row that occurs more than once, so two
        parts with equal scores lose both rows.
        """
        rows = votes.distinct()
        rows = ScoreList(QUERIES.whole(rows.query), REFERENCES.whole(rows.reference), rows.grade)
        rows = rows.select(~contained(rows.reference, self.faces))
        keys = packed(QUERIES.number(rows.query), REFERENCES.number(rows.reference), rows.grade)
        order = np.argsort(keys, kind="stable")
        same = keys[order][1:] == keys[order][:-1]
        edge = np.zeros(min(len(keys), 1), dtype=bool)
        repeated = np.append(edge, same) | np.append(same, edge)
        return self._penalised(rows.select(order[~repeated]))

    def _penalised(self, rows):
        grade = rows.grade.copy()
        untrusted = ~self.trusted.among(rows.query)
        grade[untrusted] = self.penalty.penalised(grade[untrusted])
        return ScoreList(rows.query, rows.reference, grade)

    def published(self, lists):
        """One ScoreList of a scale's `lists` in their published order: penalised rows first."""
        rows = joined(lists)
        trusted = self.trusted.among(rows.query)
        return joined([rows.select(~trusted), rows.select(trusted)])
