"""Evidence of person retrieval: the order of the gallery for each query, labels and cameras of both."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from encore.metrics.evidence.archive import encoded
from encore.metrics.evidence.resampling import Pool, drawn_values, weighted_mean
from encore.metrics.person_ranking import (
    JUNK,
    PREFIXES,
    PROTOCOLS,
    RANKS,
    RankingAccumulator,
    named_metrics,
)


class OrderKeeper:
    """Takes score chunks as they are ranked, and keeps of each row what decides a ranking: its order and its
    ties."""

    def __init__(self):
        self.orders = OrderedDict()

    def add(self, prefix, scores):
        """scores: float (c, g), larger = nearer, of the next queries of the variant `prefix`."""
        rows = np.stack([np.unique(row, return_inverse=True)[1].ravel() for row in scores])
        self.orders.setdefault(prefix, []).append(rows.astype(np.int32))


@dataclass(frozen=True, eq=False)
class PersonRankings:
    """`query_labels`, `query_cameras` int (q,); `gallery_labels`, `gallery_cameras` int (g,), label -1: junk.

    `orders`: {variant: int (q, g)}, larger = nearer, equal where the scores are equal. A variant's name is
    what its metrics' names begin with ("", "reranked_", ...).
    """

    kind = "person rankings"

    query_labels: np.ndarray
    query_cameras: np.ndarray
    gallery_labels: np.ndarray
    gallery_cameras: np.ndarray
    orders: dict

    @classmethod
    def of(cls, query, gallery, keeper):
        """query, gallery: have `labels` and `cameras`; keeper: OrderKeeper of all queries' scores."""
        return cls(
            *(np.asarray(values) for side in (query, gallery) for values in (side.labels, side.cameras)),
            orders=OrderedDict((name, np.concatenate(rows)) for name, rows in keeper.orders.items()),
        )

    @classmethod
    def read(cls, entries):
        """The evidence in the Entries of a file; Refusal where they are none."""
        query, gallery = entries.integers("query_labels"), entries.integers("gallery_labels")
        cameras = entries.integers("query_cameras", length=len(query))
        others = entries.integers("gallery_cameras", length=len(gallery))
        orders = OrderedDict()
        for number, name in enumerate(entries.texts("variants")):
            entry = "order/{}".format(number)
            orders[name] = entries.table(entry, "iu")
            if orders[name].shape != (len(query), len(gallery)):
                raise entries.refusal(
                    entry,
                    "expected {} queries by {} pictures, found {}".format(
                        len(query), len(gallery), orders[name].shape
                    ),
                )
        return cls(query, cameras, gallery, others, orders)

    def arrays(self):
        """{name: array} for a file."""
        found = {
            "query_labels": self.query_labels,
            "query_cameras": self.query_cameras,
            "gallery_labels": self.gallery_labels,
            "gallery_cameras": self.gallery_cameras,
            "variants": encoded(self.orders),
        }
        found.update(("order/{}".format(number), order) for number, order in enumerate(self.orders.values()))
        return found

    def measure(self):
        """{key: number}: rank-k and mAP of every variant by both protocols, and the counts."""
        labels, found = np.asarray(self.gallery_labels), {}
        for variant in self.orders:
            for ranking in self._rankings(variant):
                found.update(named_metrics(variant, ranking))
                found["left_out"] = ranking.left_out
        junk = int((labels == JUNK).sum())
        found.update(queries=len(self.query_labels), gallery=len(labels) - junk, junk=junk)
        return dict(found, distractors=int((labels == 0).sum()))

    def units(self):
        """Names of what is drawn, a list: the queries, by place, label and camera."""
        sides = (np.asarray(values).tolist() for values in (self.query_labels, self.query_cameras))
        return list(zip(range(len(self.query_labels)), *sides))

    def bootstrap(self, draws, seed, pool=None):
        """{key: float64 (draws,)} over queries drawn with replacement, from a Pool where that is given; the
        gallery stays as it is."""
        found = {}
        for variant in self.orders:
            for ranking in self._rankings(variant):
                found.update(
                    drawn_values(
                        pool or Pool.own(len(self.query_labels)),
                        draws,
                        seed,
                        lambda counts, ranking=ranking, variant=variant: _drawn(variant, ranking, counts),
                    )
                )
        return found

    def _rankings(self, variant):
        for protocol in PROTOCOLS:
            kind = RankingAccumulator(self.gallery_labels, self.gallery_cameras, protocol)
            # float64 holds every place exactly
            kind.add(self.orders[variant].astype(np.float64), self.query_labels, self.query_cameras)
            yield kind.ranking()


def _drawn(variant, ranking, counts):
    """As `named_metrics`, for queries that count several times."""
    start, found = variant + PREFIXES[ranking.protocol], {}
    answered = ranking.first_good >= 0
    kept = None if PROTOCOLS[ranking.protocol].counts_left_out else answered
    for k in RANKS:
        hit = answered & (ranking.first_good < k)
        found["{}rank{}".format(start, k)] = weighted_mean(counts, hit, kept)
    found[start + "mAP"] = weighted_mean(counts, np.where(answered, ranking.average_precisions, 0), kept)
    return found
