"""Predicted and true (query, reference) pairs, by integer ids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encore.runtime.refusal import Refusal

LARGEST_KEY = 2**62


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predicted pairs: `query` and `reference` int64 (n,) ids, `score` float64 (n,), higher is more
    confident.

    Infinite scores are accepted, as published; NaN, which no order holds, is refused by name.
    """

    query: np.ndarray
    reference: np.ndarray
    score: np.ndarray

    def __post_init__(self):
        object.__setattr__(self, "query", _ids(self.query, "query"))
        object.__setattr__(self, "reference", _ids(self.reference, "reference"))
        object.__setattr__(self, "score", np.asarray(self.score, dtype=np.float64))
        if not len(self.query) == len(self.reference) == len(self.score):
            raise ValueError(
                "predictions need as many queries, references and scores: {}, {}, {}".format(
                    len(self.query), len(self.reference), len(self.score)
                )
            )
        undefined = np.flatnonzero(np.isnan(self.score))
        if len(undefined):
            raise Refusal(
                "expected scores that can be ordered, found NaN in prediction {} ({} in all); "
                "drop those predictions or mend what scored them".format(undefined[0] + 1, len(undefined))
            )

    def __len__(self):
        return len(self.query)

    def select(self, kept):
        """The predictions that the boolean or index array `kept` picks."""
        return Predictions(self.query[kept], self.reference[kept], self.score[kept])


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """True pairs: `query` and `reference` int64 (m,), repeated pairs kept; `labelled` int64: every query that
    was looked at, those without a match included (sorted, unique)."""

    query: np.ndarray
    reference: np.ndarray
    labelled: np.ndarray

    def __post_init__(self):
        object.__setattr__(self, "query", _ids(self.query, "query"))
        object.__setattr__(self, "reference", _ids(self.reference, "reference"))
        if len(self.query) != len(self.reference):
            raise ValueError(
                "true pairs need as many queries as references: {}, {}".format(
                    len(self.query), len(self.reference)
                )
            )
        labelled = np.concatenate([_ids(self.labelled, "labelled query"), self.query])
        object.__setattr__(self, "labelled", np.unique(labelled))

    def __len__(self):
        return len(self.query)


def pair_keys(predictions, truth):
    """One int64 key a pair, equal where query and reference are equal: (keys (n,) of `predictions`, (m,) of
    `truth`)."""
    query = np.concatenate([predictions.query, truth.query])
    reference = np.concatenate([predictions.reference, truth.reference])
    if not len(query):
        return query[:0], query[:0]
    height, width = int(query.max()) + 1, int(reference.max()) + 1
    if min(int(query.min()), int(reference.min())) < 0 or height * width > LARGEST_KEY:
        names, reference = np.unique(reference, return_inverse=True)
        query, width = np.unique(query, return_inverse=True)[1], len(names)
    keys = query * width + reference
    return keys[: len(predictions)], keys[len(predictions) :]


def first_duplicate(keys):
    """Positions (i, j) of two equal entries of `keys`, or None when all differ."""
    ordered = np.sort(keys)
    repeated = np.flatnonzero(ordered[1:] == ordered[:-1])
    if not len(repeated):
        return None
    positions = np.flatnonzero(keys == ordered[repeated[0]])
    return int(positions[0]), int(positions[1])


def contained(keys, among):
    """Boolean (n,): which of `keys` occur in `among`."""
    if not len(among):
        return np.zeros(len(keys), dtype=bool)
    among = np.sort(among)
    position = np.minimum(np.searchsorted(among, keys), len(among) - 1)
    return among[position] == keys


def _ids(values, what):
    values = np.asarray(values)
    if values.size and values.dtype.kind not in "iu":
        raise TypeError("a {} id is an integer, not {}".format(what, values.dtype))
    if values.ndim != 1:
        raise ValueError("{} ids are one-dimensional, not of shape {}".format(what, values.shape))
    return values.astype(np.int64, copy=False)
