"""The largest classes of a row: hits among them, and probabilities cut down to them."""

from __future__ import annotations

import torch


def keep_top_k(probabilities, k):
    """The k largest probabilities of each row, what is left spread evenly over the other classes.

    probabilities: float (n, C), rows summing to 1 -> the same shape; the same tensor where k is None (all
    classes) or C or more.
    Published as a helper that its trainer never calls.
    """
    classes = probabilities.shape[1]
    if k is None or k >= classes:
        return probabilities
    values, places = torch.topk(probabilities, k, dim=1)
    rest = (1 - values.sum(dim=1, keepdim=True)) / (classes - k)
    return rest.expand_as(probabilities).contiguous().scatter(1, places, values)


def hits(logits, targets, k):
    """How many of the rows of logits (n, C) have their target, int64 (n,), among the k largest."""
    return int((largest(logits, k) == targets.view(-1, 1)).sum())


def largest(logits, k):
    """int64 (n, k): the classes of the k largest of each row of logits (n, C), largest first; all C where
    there are fewer."""
    return torch.topk(logits, min(k, logits.shape[1]), dim=1)[1]
