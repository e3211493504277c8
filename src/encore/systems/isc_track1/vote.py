"""The vote of the three backbones of a data set (spec isc-track1-test 4.1, 4.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.score_list import ScoreList, joined

VOTERS = 3


@dataclass(frozen=True, eq=False)
class Votes:
    """The rows of the pairs that enough backbones found, by query, reference and backbone, each once; and how
    often each stands in the published file, `times` int (n,)."""

    rows: ScoreList
    times: np.ndarray

    def published(self):
        """The ScoreList as published, with repeated rows."""
        return self.rows.select(np.repeat(np.arange(len(self.rows)), self.times))

    def distinct(self):
        """The ScoreList without exact duplicates: two backbones may give a pair the same score."""
        keys, grade = self.rows.keys(), self.rows.grade
        first = np.ones(len(keys), dtype=bool)
        for before in range(1, VOTERS):  # a pair's rows, at most one a backbone, stand together
            first[before:] &= (keys[before:] != keys[:-before]) | (grade[before:] != grade[:-before])
        return self.rows.select(first)


def vote(lists):
    """Votes of three ScoreLists of augmented queries and references: a pair needs two of the three.

    Published quirk: each two lists are joined on their common pairs, so that a pair in all three gives its
    rows twice, six rows, and a pair in two gives its two rows once.
    """
    rows, count = _rows_found_by(2, lists)
    return Votes(rows, count - 1)


def vote_of_parts(lists):
    """Votes of three ScoreLists of original queries and parts of references: a pair needs all three."""
    rows, count = _rows_found_by(3, lists)
    return Votes(rows, count // VOTERS)


def _rows_found_by(least, lists):
    """(ScoreList, int (n,)): rows of pairs in at least `least` of `lists`, sorted, and in how many each is.

    Refuses a pair that stands twice in one list: the search gives every pair once, and what the vote makes of
    more is not known.
    """
    lists = list(lists)
    if len(lists) != VOTERS:
        raise Refusal("the vote needs the lists of {} backbones, found {}".format(VOTERS, len(lists)))
    rows = joined(lists)
    keys = rows.keys()
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    new = np.append(np.ones(min(len(keys), 1), dtype=bool), keys[1:] != keys[:-1])
    _check_pairs_once(lists, order, new)
    starts = np.flatnonzero(new)
    sizes = np.diff(np.append(starts, len(keys)))
    kept = sizes >= least
    return rows.select(order[np.repeat(kept, sizes)]), np.repeat(sizes[kept], sizes[kept])


def _check_pairs_once(lists, order, new):
    """Refuse two rows of one list with the same pair; `order` sorts the joined rows, `new` marks other
    pairs."""
    ends = np.cumsum([len(one) for one in lists])
    source = (order >= ends[0]).astype(np.int8) + (order >= ends[1])
    repeated = np.flatnonzero(~new[1:] & (source[1:] == source[:-1]))
    if len(repeated):
        at = source[repeated[0]]
        start = ends[at] - len(lists[at])
        earlier, later = (int(order[repeated[0] + i] - start) for i in (0, 1))
        raise Refusal(
            "{}: the pair of line {} again: expected every pair once; search again".format(
                lists[at].place(later), earlier + lists[at].first_line
            )
        )
