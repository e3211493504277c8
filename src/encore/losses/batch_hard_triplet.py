"""Triplet loss with a margin or its soft form, over the hardest or over weighted pairs of every sample."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from encore.losses.soft_triplet import euclidean_distances
from encore.runtime.refusal import Refusal

SOFT_MARGIN = "soft_margin"
ACTIVE = 0.001
"""Loss of a sample from which on it counts as active."""


class TripletStatistics(NamedTuple):
    """What training logs of a batch of triplets."""

    pull_ratio: float
    """Share in percent of samples whose negative is further away than their positive."""
    active: float
    """Samples with a loss above 0.001."""
    mean_negative: float
    mean_positive: float


def batch_hard_triplet(features, labels, margin, adaptive=False):
    """(loss, statistics): the mean over samples of max(0, d_ap - d_an + margin), or of ln(1 + exp(d_ap -
    d_an)) where margin is "soft_margin"; a scalar and TripletStatistics.

    features: float (n, d), not normalised; labels: int64 (n,), with two identities at least (Refusal).
    Distances are Euclidean, of squares clamped to at least 1e-12. A sample is among its own positives
    (published). d_ap, d_an: the largest and the smallest distance; adaptive: the means of the distances d
    under softmax(d) over the positives and softmax(-d) over the negatives. Identities may have different
    counts (the published code needs equal ones). Source: Hermans et al. 2017; Ristani and Tomasi 2018.
    """
    same = labels.unsqueeze(0) == labels.unsqueeze(1)
    if same.all():
        raise Refusal(
            "triplet loss: expected two identities or more in a batch, found one in %d pictures: raise P "
            "of batch_sampling_params, or turn class_balanced on" % len(labels)
        )
    distances = euclidean_distances(features)
    positive, negative = (_weighted if adaptive else _hardest)(distances, same)
    difference = positive - negative
    losses = F.softplus(difference) if margin == SOFT_MARGIN else (difference + margin).clamp(min=0)
    return losses.mean(), _statistics(losses.detach(), positive.detach(), negative.detach())


def _hardest(distances, same):
    infinity = float("inf")
    # of equally far positives the last one takes the gradient: published, seen where pictures repeat
    positive = distances.masked_fill(~same, -infinity).flip(1).max(dim=1)[0]
    return positive, distances.masked_fill(same, infinity).min(dim=1)[0]


def _weighted(distances, same):
    infinity = float("inf")
    near = torch.softmax(distances.masked_fill(~same, -infinity), dim=1)
    far = torch.softmax((-distances).masked_fill(same, -infinity), dim=1)
    return (distances * near).sum(1), (distances * far).sum(1)


def _statistics(losses, positive, negative):
    pulled = 100 * (negative > positive).to(losses.dtype).mean()
    active = (losses > ACTIVE).to(losses.dtype).sum()
    return TripletStatistics(*torch.stack([pulled, active, negative.mean(), positive.mean()]).tolist())
