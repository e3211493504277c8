"""Recall at rank k: how often the true reference is among a query's first k predictions."""

from __future__ import annotations

import numpy as np

from encore.metrics.pairs import contained, pair_keys

NOT_PREDICTED = 2**35  # published: the rank of a true pair that was not predicted


def ranks_of_true_pairs(predictions, truth):
    """int64 (m,): for every true pair, how many other predictions of its query score at least as high.

    Ties hurt: rank = |{predictions of the query with score >= its score}| - 1; a pair that was not predicted
    gets 2^35 (spec isc-track1-test 5). Predictions must not repeat a pair.
    """
    ranks = np.full(len(truth), NOT_PREDICTED, dtype=np.int64)
    asked = np.flatnonzero(contained(predictions.query, truth.query))
    if not len(asked):
        return ranks
    found = predictions.select(asked)
    order = np.lexsort((-found.score, found.query))
    query, score = found.query[order], found.score[order]
    group_start = _run_starts(query[1:] != query[:-1])
    tie_end = _run_ends((query[1:] != query[:-1]) | (score[1:] != score[:-1]))
    rank_of_prediction = tie_end - group_start
    keys, wanted = pair_keys(found.select(order), truth)
    by_key = np.argsort(keys, kind="stable")
    position = by_key[np.minimum(np.searchsorted(keys[by_key], wanted), len(keys) - 1)]
    predicted = keys[position] == wanted
    ranks[predicted] = rank_of_prediction[position[predicted]]
    return ranks


def recall_at_rank(ranks, k):
    """Share of true pairs with rank below `k` (0-based ranks of `ranks_of_true_pairs`); NaN without true
    pairs."""
    return float(np.mean(ranks < k)) if len(ranks) else float("nan")


def _run_starts(changes):
    """For every position, where its run starts; `changes` (n - 1,) marks a new run between neighbours."""
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    lengths = np.diff(np.append(starts, len(changes) + 1))
    return np.repeat(starts, lengths)


def _run_ends(changes):
    """For every position, the last position of its run."""
    ends = np.append(np.flatnonzero(changes), len(changes))
    lengths = np.diff(np.append(-1, ends))
    return np.repeat(ends, lengths)
