"""Spectral feature transform: in training, and in evaluation on the pictures ranked first."""

from __future__ import annotations

import numpy as np
import torch

from encore.runtime.refusal import Refusal

LEAST_ACCURACY = 0.9
"""Accuracy of the batch logged last from which on the transform works in training."""
TOP = 50
"""Pictures a query that evaluation scores again."""
CHUNK = 64
"""Queries scored at once."""


class SpectralTransform:
    """Batches of features in training: mixed by their cosines at a temperature, or left as they are."""

    def __init__(self, temperature):
        if not temperature > 0:
            raise Refusal("spectral_trans: expected a temperature above 0, found %s" % temperature)
        self.temperature = temperature

    def __call__(self, features, accuracy):
        """(features, st_mean): as `transformed` from an accuracy of 0.9 on, else the same and 0.0."""
        if not accuracy >= LEAST_ACCURACY:
            return features, 0.0
        mixed, mean = transformed(features, self.temperature)
        return mixed, mean.item()


def transformed(features, temperature):
    """float (n, d) -> M x, float (n, d), and the mean of M's diagonal.

    M: softmax of the rows' cosines / temperature, over each column (published quirk: arXiv 1811.11405 has it
    over each row). Gradients pass through M.
    """
    unit = features / features.norm(dim=1, keepdim=True)
    likeness = unit.mm(unit.t()) / temperature
    weights = torch.softmax(likeness - likeness.max(), dim=0)
    return weights.mm(features), weights.diagonal().mean().detach()


def rescored(scores, queries, gallery, temperature, top=TOP):
    """Scores (q, g), larger is nearer, with the `top` first of each row in a new order -> float (q, g).

    queries (q, d), gallery (g, d): float, rows of unit length. The first of a query, F, junk and all, are
    replaced by softmax(F Fᵀ / temperature) F, over rows and not normalised again; their products with the
    query order them (spec reid 3.7). They get scores above all others, in steps of 1 that only the order is
    meant by; the others keep theirs. Ties as published: of equal scores the later one is nearer, in the
    gallery for the first ones and in their old order for their new scores. Refusal for scores that are not
    finite.
    """
    if not temperature > 0:
        raise Refusal("spectral_transform: expected a temperature above 0, found %s" % temperature)
    scores = np.array(scores, copy=True)
    top = min(top, scores.shape[1])
    if top == 0:
        return scores
    highest = scores.max(axis=1)
    if not np.isfinite(highest).all():
        raise Refusal("spectral transform: expected finite scores, found others: check the features")
    for start in range(0, len(scores), CHUNK):
        rows = slice(start, min(start + CHUNK, len(scores)))
        first = np.stack([first_places(row, top) for row in scores[rows]])
        order = _descending(_new_scores(queries[rows], gallery[first], temperature))
        steps = np.arange(top, 0, -1, dtype=scores.dtype)
        new = np.ceil(highest[rows])[:, None] + steps
        np.put_along_axis(scores[rows], np.take_along_axis(first, order, 1), new, 1)
    return scores


def first_places(row, count):
    """Places of the `count` largest values of `row`, largest first, of equal ones the later first."""
    least = np.partition(row, len(row) - count)[len(row) - count]
    candidates = np.flatnonzero(row >= least)
    return candidates[np.argsort(row[candidates], kind="stable")[::-1]][:count]


def _new_scores(queries, first, temperature):
    # in float64 and rounded, so that equal pictures tie: products in float32 can differ from row to row
    queries, first = queries.astype(np.float64), first.astype(np.float64)
    likeness = np.matmul(first, first.transpose(0, 2, 1)) / temperature
    weights = np.exp(likeness - likeness.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    scores = np.matmul(np.matmul(weights, first), queries[:, :, None])[:, :, 0]
    return scores.astype(np.float32)


def _descending(values):
    return np.argsort(values, axis=1, kind="stable")[:, ::-1]
