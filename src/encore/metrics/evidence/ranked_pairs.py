"""Evidence of copy detection: ranked lists of (query, reference) pairs with scores, and the true pairs."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from encore.metrics.definitions import DEFINITIONS
from encore.metrics.evidence.archive import encoded
from encore.metrics.evidence.resampling import Pool, drawn_values
from encore.metrics.evidence.weighted_ranking import WeightedRanking
from encore.metrics.pairs import GroundTruth, Predictions
from encore.metrics.recall_at_rank import ranks_of_true_pairs, recall_at_rank

MICRO_AP, RECALL_AT_P90 = "micro_ap", "recall_at_p90"
RECALL_AT = {"recall_at_1": 1, "recall_at_10": 10}


class Measured(NamedTuple):
    """A number of the metric file: its `key`, of which list, by which definition, and what of it."""

    key: str
    ranked: str
    """Name of the list."""
    definition: str
    """A name of DEFINITIONS."""
    what: str
    """micro_ap, recall_at_p90, recall_at_1 or recall_at_10."""


@dataclass(frozen=True, eq=False)
class RankedPairs:
    """Lists over one ground truth.

    `queries`, `references`: names, sorted, by which codes count; `truth`: GroundTruth of codes; `lists`:
    {name: Predictions of codes}; `measures`: the Measured.
    """

    kind = "ranked pairs"

    queries: list
    references: list
    truth: GroundTruth
    lists: dict
    measures: tuple

    @classmethod
    def of(cls, truth, lists, measures, query_names, reference_names):
        """The evidence of `truth` and {name: Predictions} with any codes.

        query_names, reference_names: functions from int64 codes, none twice, to their names, a list of str.
        """
        queries, query = _named([truth.labelled] + [one.query for one in lists.values()], query_names)
        columns = [truth.reference] + [one.reference for one in lists.values()]
        references, reference = _named(columns, reference_names)
        return cls(
            queries,
            references,
            GroundTruth(query(truth.query), reference(truth.reference), query(truth.labelled)),
            OrderedDict(
                (name, Predictions(query(one.query), reference(one.reference), one.score))
                for name, one in lists.items()
            ),
            tuple(measures),
        )

    @classmethod
    def read(cls, entries):
        """The evidence in the Entries of a file; Refusal where they are none."""
        queries, references = entries.texts("queries"), entries.texts("references")
        count, others = len(queries), len(references)
        true_query = entries.integers("true_query", count)
        true_reference = entries.integers("true_reference", others, len(true_query))
        truth = GroundTruth(true_query, true_reference, entries.integers("labelled", count))
        lists = OrderedDict()
        for name in entries.names("query/"):
            query = entries.integers("query/" + name, count)
            lists[name] = Predictions(
                query,
                entries.integers("reference/" + name, others, len(query)),
                entries.floats("score/" + name, length=len(query)),
            )
        measures = tuple(Measured(*row) for row in entries.rows("measures", 4))
        for row in measures:
            known = row.what in (MICRO_AP, RECALL_AT_P90) or row.what in RECALL_AT
            if row.ranked not in lists or row.definition not in DEFINITIONS or not known:
                raise entries.refusal("measures", "{}: nothing that can be measured".format(" ".join(row)))
        return cls(queries, references, truth, lists, measures)

    def arrays(self):
        """{name: array} for a file."""
        found = {
            "queries": encoded(self.queries),
            "references": encoded(self.references),
            "true_query": self.truth.query,
            "true_reference": self.truth.reference,
            "labelled": self.truth.labelled,
            "measures": encoded(["\t".join(row) for row in self.measures]),
        }
        for name, ranked in self.lists.items():
            for column in ("query", "reference", "score"):
                found[column + "/" + name] = getattr(ranked, column)
        return found

    def measure(self):
        """{key: number}, without those that a definition has no number for."""
        evaluated, found = {}, {}
        for row in self.measures:
            if row.what in RECALL_AT:
                ranks = ranks_of_true_pairs(self.lists[row.ranked], self.truth)
                value = recall_at_rank(ranks, RECALL_AT[row.what])
            else:
                place = row.ranked, row.definition
                if place not in evaluated:
                    evaluated[place] = DEFINITIONS[row.definition].evaluate(
                        self.lists[row.ranked], self.truth
                    )
                value = getattr(evaluated[place], row.what)
            if value is not None:
                found[row.key] = value
        return found

    def units(self):
        """Names of what is drawn, a list: the queries."""
        return self.queries

    def bootstrap(self, draws, seed, pool=None):
        """{key: float64 (draws,)} over queries drawn with replacement, each with all its predictions and true
        pairs; the lists stay as they are. NaN where a draw has no true pair.

        pool: the Pool that is drawn from; None: these queries alone. Which unlabelled queries there are
        depends on what was found, so lists over one ground truth may name different ones.
        """
        found = {}
        for place in sorted({(row.ranked, row.definition) for row in self.measures}):
            rows = [row for row in self.measures if (row.ranked, row.definition) == place]
            ranking = WeightedRanking(self.lists[place[0]], self.truth, DEFINITIONS[place[1]])
            values = drawn_values(
                pool or Pool.own(len(self.queries)),
                draws,
                seed,
                lambda counts, ranking=ranking, rows=rows: _drawn(ranking, rows, counts),
                ranking.numbers,
            )
            found.update(values)
        return found


def _drawn(ranking, rows, counts):
    values = ranking.values(counts)
    values.update((name, ranking.recall_at_rank(counts, k)) for name, k in RECALL_AT.items())
    return {row.key: values[row.what] for row in rows}


def _named(columns, names):
    """(sorted names of all codes in `columns`, function from codes to places among them)."""
    codes = np.unique(np.concatenate(columns))
    texts = names(codes)
    order = sorted(range(len(texts)), key=texts.__getitem__)
    places = np.empty(len(codes), dtype=np.int64)
    places[order] = np.arange(len(codes))
    return [texts[i] for i in order], lambda wanted: places[np.searchsorted(codes, wanted)]
