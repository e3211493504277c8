"""Momentum BatchNorm: batch statistics blended with running ones, by the teacher of Momentum²-Teacher."""

from __future__ import annotations

import math

import torch
import torch.nn as nn


class MomentumBatchNorm(nn.Module):
    """x (n, c) or (n, c, h, w) -> the same shape, by alpha times its own statistics and 1 - alpha times the
    running ones.

    total: iterations of the whole run, at whose end alpha reaches 0. Every second forward (two are one
    iteration) moves the running statistics by the mean of the two batches' and counts one iteration in
    `iterations`; alpha = (cos(pi iterations / total) + 1) / 2. Source: Li et al. 2021 and spec
    isc-track1-training 2.2.

    Published quirks: the variance is corrected twice (torch's unbiased one times n / (n - 1), n numbers a
    channel), evaluation mode computes and counts exactly as training mode, `num_batches_tracked` stays 0.
    """

    def __init__(self, channels, total, eps=1e-5):
        super().__init__()
        self.total = total
        self.eps = eps
        self.iterations = 0
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))
        self._first = None

    @property
    def alpha(self):
        """Share of the batch's own statistics, from 1 at the start to 0."""
        return (math.cos(math.pi * self.iterations / self.total) + 1) / 2

    def forward(self, x):
        dims = [0] + list(range(2, x.dim()))
        shape = [1, -1] + [1] * (x.dim() - 2)
        count = x.numel() // x.size(1)
        mean, var = x.mean(dims), x.var(dims, unbiased=True) * (count / (count - 1))
        alpha = self.alpha
        blended_mean = alpha * mean + (1 - alpha) * self.running_mean
        blended_var = alpha * var + (1 - alpha) * self.running_var
        scale = self.weight / torch.sqrt(blended_var + self.eps)
        self._remember(mean.detach(), var.detach(), alpha)
        return (x - blended_mean.view(shape)) * scale.view(shape) + self.bias.view(shape)

    def _remember(self, mean, var, alpha):
        if self._first is None:
            self._first = mean, var
            return
        first_mean, first_var = self._first
        self.running_mean = alpha * ((first_mean + mean) / 2) + (1 - alpha) * self.running_mean
        self.running_var = alpha * ((first_var + var) / 2) + (1 - alpha) * self.running_var
        self.iterations += 1
        self._first = None
