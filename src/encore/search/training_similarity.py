"""How much a query resembles the training pictures: what stretching and score normalisation divide out."""

from __future__ import annotations

import numpy as np

from encore.runtime.refusal import Refusal
from encore.search.nearest import nearest
from encore.search.tiling import rows_of

REDUCTIONS = ("avg", "min")


def check_reduction(what, neighbours, reduction):
    """Refusal when a `reduction` is unknown or `neighbours` is below 1; `what` names the parameters."""
    if reduction not in REDUCTIONS:
        raise Refusal("expected {} reduction to be one of {}, found {!r}".format(what, REDUCTIONS, reduction))
    if neighbours < 1:
        raise Refusal("expected {} neighbours to be at least 1, found {}".format(what, neighbours))


def training_similarity(what, queries, training, neighbours, reduction, products=None, search=None):
    """float32 (q,): the reduced inner products of every query with its `neighbours` nearest of `training`.

    "avg" takes their mean, "min" the smallest of them. `search`: (queries, training, neighbours) -> as
    `nearest`, which is used where none is given. Refusal when there are not as many training rows.
    """
    training = training if search else rows_of(training, "training")
    if training.shape[0] < neighbours:
        raise Refusal(
            "expected at least {} training descriptors for {}, found {}".format(
                neighbours, what, training.shape[0]
            )
        )
    if search is None:
        score, _ = nearest(queries, training, neighbours, products=products)
    else:
        score, _ = search(queries, training, neighbours)
    return score[:, -1].copy() if reduction == "min" else score.mean(axis=1, dtype=np.float32)
