"""Batches of P identities with K pictures each, as published."""

from __future__ import annotations

import numpy as np

from encore.runtime.refusal import Refusal


def identity_batches(labels, P, K, rng: np.random.RandomState):
    """The batches of one pass: lists of P x K numbers of pictures, K in a row for each identity.

    labels: int (n,). Identities come in a random order, each once; pictures are drawn without replacement, of
    an identity with fewer than K with it. Published quirk, kept: what does not fill a batch is dropped, so
    floor(identities there / P) batches are made. An identity without pictures does not count. Raises Refusal
    where not one batch can be filled.
    """
    labels = np.asarray(labels)
    by_label = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[by_label], return_index=True)
    groups = np.split(by_label, starts[1:])
    if len(present) < P:
        raise Refusal(
            "batch_sampling_params: expected at least P = {} identities with pictures, found {}: lower "
            "P".format(P, len(present))
        )
    chosen = []
    for place in rng.permutation(len(present)):
        group = groups[place]
        chosen.append(rng.choice(group, size=K, replace=len(group) < K).tolist())
    return [sum(chosen[start : start + P], []) for start in range(0, len(chosen) - P + 1, P)]
