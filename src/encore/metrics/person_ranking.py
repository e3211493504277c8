"""Rank-k, CMC and mean average precision of person retrieval (Market-1501 protocol), a chunk of queries at a
time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encore.runtime.refusal import Refusal

JUNK = -1
"""Label of a gallery picture that counts neither as right nor as wrong."""
SORT_FROM = 256
"""From so many pictures of the query's identity on, a row is sorted; below, the scores ahead of each are
counted."""


@dataclass(frozen=True)
class RankingProtocol:
    """How a ranking is scored.

    Common to all: right = same label, other camera; label -1 and same label in the same camera are taken out
    of the ranking; label 0 (background) is an ordinary wrong picture (spec reid 5.1).
    """

    name: str
    larger_index_first: bool
    """among equal scores the larger gallery index comes first; else the smaller"""
    trapezoid: bool
    """average precision by the trapezoid rule (Oxford); else the mean of the precisions at right pictures"""
    counts_left_out: bool
    """a query without a right picture counts as 0 in every mean; else it is left out of them"""


PUBLISHED = RankingProtocol("published", larger_index_first=True, trapezoid=True, counts_left_out=True)
"""The published evaluation: stable ascending sort, then reversed (published quirk: queries without a right
picture are skipped, yet stay in the denominator)."""
TORCHREID = RankingProtocol("torchreid", larger_index_first=False, trapezoid=False, counts_left_out=False)
"""torchreid and fast-reid."""
PROTOCOLS = {protocol.name: protocol for protocol in (PUBLISHED, TORCHREID)}


@dataclass(frozen=True, eq=False)
class PersonRanking:
    """What `protocol` (its name) makes of the rankings of q queries.

    `average_precisions` float64 (q,), NaN for a query that has no right picture in another camera;
    `first_good` int64 (q,), 0-based place of the first right picture, -1 for such a query.
    """

    protocol: str
    average_precisions: np.ndarray
    first_good: np.ndarray

    @property
    def queries(self):
        """How many queries were ranked, left out ones included."""
        return len(self.first_good)

    @property
    def left_out_rows(self):
        """int64 (n,): the queries, by their row, that have no right picture in another camera."""
        return np.flatnonzero(self.first_good < 0)

    @property
    def left_out(self):
        """How many queries have no right picture in another camera."""
        return int(np.count_nonzero(self.first_good < 0))

    @property
    def mean_average_precision(self):
        """mAP in [0, 1]; NaN where the protocol leaves out every query."""
        return self._mean(float(np.nansum(self.average_precisions)))

    def rank(self, k):
        """Share of queries with a right picture among the first `k` >= 1, in [0, 1]; NaN where all are left
        out.

        A gallery of fewer than k pictures gives the CMC at its end (published: an index error).
        """
        if k < 1:
            raise ValueError("k is at least 1, not {}".format(k))
        return self._mean(int(np.count_nonzero((self.first_good >= 0) & (self.first_good < k))))

    def cmc(self, max_rank):
        """float64 (max_rank,): rank(1), rank(2), …"""
        return np.array([self.rank(k) for k in range(1, max_rank + 1)], dtype=np.float64)

    def _mean(self, total):
        counted = self.queries
        if not PROTOCOLS[self.protocol].counts_left_out:
            counted -= self.left_out
        return total / counted if counted else float("nan")


RANKS = (1, 5, 10)
PREFIXES = {"published": "", "torchreid": "torchreid_"}
"""How the names of a protocol's metrics begin."""


def named_metrics(prefix, ranking):
    """{name: number} of a PersonRanking: rank1, rank5, rank10 and mAP, behind `prefix` and the protocol's."""
    start = prefix + PREFIXES[ranking.protocol]
    metrics = {"{}rank{}".format(start, rank): ranking.rank(rank) for rank in RANKS}
    metrics[start + "mAP"] = ranking.mean_average_precision
    return metrics


class RankingAccumulator:
    """Ranks the queries chunk by chunk against one gallery; keeps two numbers a query.

    `gallery_labels` int (g,), -1 = junk; `gallery_cameras` int (g,); `protocol`: a name of PROTOCOLS. Time is
    linear in queries x gallery.
    """

    def __init__(self, gallery_labels, gallery_cameras, protocol="published"):
        if protocol not in PROTOCOLS:
            raise Refusal(
                "expected a ranking protocol of {}, found {!r}; name one of them".format(
                    sorted(PROTOCOLS), protocol
                )
            )
        labels, cameras = _labels_and_cameras("gallery", gallery_labels, gallery_cameras)
        if not len(labels):
            raise Refusal("expected at least one picture in the gallery, found none; check the gallery")
        self._protocol = PROTOCOLS[protocol]
        self._gallery = len(labels)
        kept = np.flatnonzero(labels != JUNK)
        self._kept = None if len(kept) == len(labels) else kept
        self._identities = _identities(labels[kept], cameras[kept])
        self._average_precisions, self._first_good = [], []

    def add(self, scores, query_labels, query_cameras):
        """Rank the next queries: `scores` float32 or float64 (c, g), larger = nearer; labels and cameras int
        (c,). NaN, wrong shapes and queries of label -1 are refused."""
        labels, cameras = _labels_and_cameras("query", query_labels, query_cameras)
        scores = np.asarray(scores)
        if scores.shape != (len(labels), self._gallery) or scores.dtype not in (np.float32, np.float64):
            raise Refusal(
                "expected float32 or float64 scores of shape {}, found {} of shape {}; give one row a query "
                "and one column a gallery picture".format(
                    (len(labels), self._gallery), scores.dtype, scores.shape
                )
            )
        if np.any(labels == JUNK):
            raise Refusal(
                "expected queries with an identity, found label -1 (junk) at row {}; take it out of the "
                "queries".format(self._seen + int(np.argmax(labels == JUNK)))
            )
        for row, label, camera in zip(scores, labels.tolist(), cameras.tolist()):
            if np.isnan(row.max()):
                raise Refusal(
                    "expected scores that are numbers, found NaN in the row of query {}; look at its "
                    "features".format(self._seen)
                )
            places = self._good_places(row, label, camera)
            self._first_good.append(int(places[0]) if len(places) else -1)
            self._average_precisions.append(_average_precision(places, self._protocol.trapezoid))

    def ranking(self):
        """The PersonRanking of all queries added so far, in their order; none is refused."""
        if not self._seen:
            raise Refusal("expected at least one query, found none; check the query pictures")
        return PersonRanking(
            self._protocol.name,
            np.array(self._average_precisions, dtype=np.float64),
            np.array(self._first_good, dtype=np.int64),
        )

    @property
    def _seen(self):
        return len(self._first_good)

    def _good_places(self, row, label, camera):
        """int64 (n,), rising: the 0-based places of the right pictures once junk is out of the ranking."""
        members, cameras = self._identities.get(label, _NOBODY)
        good = cameras != camera
        if not good.any():
            return members[:0]
        if self._kept is not None:
            row = row.take(self._kept)
        find = _places_by_sorting if len(members) >= SORT_FROM else _places_by_counting
        places = find(row, members, self._protocol.larger_index_first)
        junk = np.sort(places[~good])
        places = np.sort(places[good])
        return places - np.searchsorted(junk, places)


def market_ranking(
    scores, query_labels, query_cameras, gallery_labels, gallery_cameras, protocol="published"
):
    """The PersonRanking of all queries at once: `scores` float32 or float64 (q, g), larger = nearer.

    Labels and cameras int (q,) and (g,); gallery label -1 = junk; `protocol`: "published" or "torchreid".
    Refusal on NaN, shapes that differ, no query, no gallery picture (spec reid 5.1).
    """
    accumulator = RankingAccumulator(gallery_labels, gallery_cameras, protocol)
    accumulator.add(scores, query_labels, query_cameras)
    return accumulator.ranking()


_NOBODY = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)


def _labels_and_cameras(what, labels, cameras):
    labels, cameras = np.asarray(labels), np.asarray(cameras)
    if labels.ndim != 1 or labels.shape != cameras.shape:
        raise Refusal(
            "expected one label and one camera for each {} picture, found shapes {} and {}; give two lists "
            "of one length".format(what, labels.shape, cameras.shape)
        )
    if len(labels) and not (labels.dtype.kind in "iu" and cameras.dtype.kind in "iu"):
        raise Refusal(
            "expected labels and cameras of the {} pictures as integers, found {} and {}; convert "
            "them".format(what, labels.dtype, cameras.dtype)
        )
    return labels.astype(np.int64), cameras.astype(np.int64)


def _identities(labels, cameras):
    """{label: (positions int64, rising, and their cameras)}."""
    order = np.argsort(labels, kind="stable")
    names, first = np.unique(labels[order], return_index=True)
    members = np.split(order, first[1:])
    return {name: (own, cameras[own]) for name, own in zip(names.tolist(), members)}


def _places_by_counting(row, members, larger_index_first):
    """int64 (n,): the place of every member in the ranking of `row`, by counting what is ahead of it."""
    # among equals those on one side of the member are ahead of it: there they are counted, too
    before, after = np.greater, np.greater_equal
    if not larger_index_first:
        before, after = after, before
    ahead = np.empty(len(row), dtype=bool)
    places = np.empty(len(members), dtype=np.int64)
    for i, member in enumerate(members.tolist()):
        score = row[member]
        before(row[:member], score, out=ahead[:member])
        after(row[member:], score, out=ahead[member:])
        ahead[member] = False
        places[i] = np.count_nonzero(ahead)
    return places


def _places_by_sorting(row, members, larger_index_first):
    """As _places_by_counting, for many members."""
    order = np.argsort(row, kind="stable")[::-1] if larger_index_first else np.argsort(-row, kind="stable")
    places = np.empty(len(row), dtype=np.int64)
    places[order] = np.arange(len(row))
    return places[members]


def _average_precision(places, trapezoid):
    """Average precision of right pictures at the 0-based `places`, rising; NaN for none."""
    if not len(places):
        return float("nan")
    found = np.arange(1, len(places) + 1)
    precisions = found / (places + 1.0)
    if trapezoid:
        # published: the precision just before a place; before the first place it is 1
        before = np.where(places > 0, (found - 1) / np.maximum(places, 1), 1.0)
        precisions = (precisions + before) / 2
    return float(precisions.sum() / len(places))
