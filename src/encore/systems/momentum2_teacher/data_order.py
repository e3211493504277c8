"""Which images a step takes: torch's DistributedSampler with a loader that drops what is left over."""

from __future__ import annotations

import functools

import numpy as np

from encore.data.two_views import momentum2_views
from encore.data.view_batches import TwoViewBatches, permutation
from encore.runtime.refusal import Refusal
from encore.systems.momentum2_teacher.recipe import SYSTEM


def iterations_per_epoch(images, batch, replicas):
    """Steps of an epoch: images are filled up to a multiple of `replicas`, dealt out, each share cut in
    batches."""
    return -(-images // replicas) // (batch // replicas)


def rows(seed, images, batch, replicas, epoch, step):
    """Numbers of a step's images, int64 (batch,), replica after replica.

    The epoch's permutation, its start repeated at the end up to a multiple of `replicas`; replica r takes
    places r, r + replicas, r + 2 replicas, ...
    """
    order = permutation(seed, SYSTEM, epoch, images)
    order = np.concatenate([order, order[: -images % replicas]]).reshape(-1, replicas)
    share = batch // replicas
    return order[step * share : (step + 1) * share].T.reshape(-1)


def view_batches(source, recipe, own=None):
    """The batches of a run; Refusal where the source has less than one batch.

    own: the replicas, a range, whose rows items hold; None: all.
    """
    iterations = iterations_per_epoch(len(source), recipe.batch, recipe.replicas)
    if len(source) < recipe.batch:
        raise Refusal(
            "pre-training needs one batch of %d images at least, found %d: lower momentum2_teacher.batch"
            % (recipe.batch, len(source))
        )
    chosen = functools.partial(rows, recipe.seed, len(source), recipe.batch, recipe.replicas)
    views = momentum2_views(recipe.size)
    share = recipe.batch // recipe.replicas
    held = slice(None) if own is None else slice(own[0] * share, (own[-1] + 1) * share)
    return TwoViewBatches(source, views, chosen, iterations, recipe.seed, SYSTEM, held)
