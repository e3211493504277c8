"""Score normalisation: from the similarity of a pair, what the query shares with the training pictures is
taken off (spec isc-track1-test 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encore.runtime.refusal import Refusal
from encore.search.capped import best_pairs
from encore.search.products import HostProducts
from encore.search.tiling import WithColumn, rows_of
from encore.search.training_similarity import check_reduction, training_similarity


@dataclass(frozen=True)
class ScoreNormalisation:
    """s(q, r) = <q, r> - `factor` * beta(q), beta being the reduced inner products of q with the `neighbours`
    nearest training descriptors: their mean ("avg") or the smallest ("min")."""

    neighbours: int = 10
    factor: float = 2.0
    reduction: str = "avg"

    def __post_init__(self):
        check_reduction("score normalisation", self.neighbours, self.reduction)

    def norms(self, queries, training, products=None):
        """-factor * beta(q) of every query: float32 (q,). Both sets float32 (n, d), L2-normalised.

        Refuses fewer training descriptors than `neighbours`.
        """
        beta = training_similarity(
            "score normalisation", queries, training, self.neighbours, self.reduction, products
        )
        return np.float32(-self.factor) * beta


PUBLISHED = ScoreNormalisation()


def normalised_pairs(queries, references, norms, count, norms_of="queries", products=None):
    """The exact `count` best Pairs by <q, r> + norm over all pairs, in order of query, then reference.

    As published, the norm is one more column of the descriptors, against a column of ones on the other side,
    and the inner product is taken over both in float32. `norms` float32: one for each query, or with
    `norms_of` "references" one for each reference. Among equal scores at the cut the lower query, then the
    lower reference stays. `products`: by what inner products are computed.
    """
    queries, references = rows_of(queries, "query"), rows_of(references, "reference")
    sides = {"queries": queries, "references": references}
    if np.shape(norms) != (sides[norms_of].shape[0],):
        raise Refusal(
            "expected one norm for each of the {} {}, found shape {}; compute the norms of these "
            "descriptors".format(sides[norms_of].shape[0], norms_of, np.shape(norms))
        )
    columns = {"queries": 1, "references": 1, norms_of: norms}
    return best_pairs(
        WithColumn(queries, columns["queries"]),
        WithColumn(references, columns["references"]),
        count,
        products=products or HostProducts(),
        order="query",
    )
