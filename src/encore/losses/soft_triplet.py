"""Soft-margin triplet loss over the hardest positive and the hardest negative of every sample."""

import torch
import torch.nn.functional as F

FAR = 9999999.0


def euclidean_distances(features):
    """Pairwise distances of float (n, d) -> (n, n); squares are clamped to at least 1e-12 before the root."""
    squares = features.pow(2).sum(1, keepdim=True)
    # in float32 the distance of a sample to itself is rounding noise, up to 2e-3 for |x|^2 = 16, not 0:
    # published
    products = torch.addmm(squares + squares.t(), features, features.t(), beta=1, alpha=-2)
    return products.clamp(min=1e-12).sqrt()


def hardest_distances(distances, labels):
    """Distances (n, n), labels (n,) -> distance to the hardest positive (n,) and to the hardest negative
    (n,).

    The published masks, kept: other identities are moved down by 9999999 before the maximum is taken (so that
    a sample is its own positive at least) and the own identity up by 9999999 before the minimum is taken. In
    a batch of one identity the "hardest negative" is therefore a positive that is 9999999 away.
    """
    same = (labels.unsqueeze(0) == labels.unsqueeze(1)).to(distances.dtype)
    positive = torch.sort(distances - FAR * (1 - same), dim=1, descending=True)[0][:, 0]
    negative = torch.sort(distances + FAR * same, dim=1, descending=False)[0][:, 0]
    return positive, negative


def soft_triplet(features, labels, smoothing=0.0):
    """Mean over the batch of -(m log p_ap + (1 - m) log p_an), (p_ap, p_an) = softmax(d_ap, d_an).

    features: float (n, d), not normalised; labels: int64 (n,); smoothing: m, which the published command line
    calls --margin although it is none. With m = 0 this is mean softplus(d_ap - d_an). Source: Hermans et al.
    2017 for the mining; ISC 2021 Track 2, "soft triplet".
    """
    positive, negative = hardest_distances(euclidean_distances(features), labels)
    log_probability = F.log_softmax(torch.stack([positive, negative], 1), dim=1)
    return -(smoothing * log_probability[:, 0] + (1 - smoothing) * log_probability[:, 1]).mean()
