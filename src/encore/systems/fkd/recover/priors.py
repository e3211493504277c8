"""What is asked of the pictures themselves; the published runs on ImageNet leave both out."""

from __future__ import annotations

import torch


def total_variation(x):
    """Sum of the four Frobenius norms, over the whole batch (n, c, h, w), of the differences between
    neighbours: horizontal, vertical and both diagonals; a scalar. (The published code computes an L1 form
    too, and does not use it.)"""
    return (
        torch.norm(x[:, :, :, :-1] - x[:, :, :, 1:])
        + torch.norm(x[:, :, :-1, :] - x[:, :, 1:, :])
        + torch.norm(x[:, :, 1:, :-1] - x[:, :, :-1, 1:])
        + torch.norm(x[:, :, :-1, :-1] - x[:, :, 1:, 1:])
    )


def mean_length(x):
    """Mean over the batch (n, c, h, w) of the Euclidean length of a picture; a scalar. (The published code
    fails on a batch smaller than its flag says.)"""
    return torch.norm(x.flatten(1), dim=1).mean()
