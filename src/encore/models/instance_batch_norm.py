"""IBN-a: instance normalisation on one half of the channels, batch normalisation on the other."""

from __future__ import annotations

import torch
import torch.nn as nn


class InstanceBatchNorm(nn.Module):
    """Feature maps (n, c, h, w) -> the same shape; the first c // 2 channels by InstanceNorm, the rest by
    `norm`.

    The instance norm has weight and bias and keeps no running statistics, so that it works the same in
    evaluation mode. Parameter names `IN` and `BN` are the published ones (Pan et al. 2018, IBN-a; spec
    isc-track1-training 2.2).
    """

    def __init__(self, channels, norm=nn.BatchNorm2d):
        super().__init__()
        self.half = channels // 2
        self.IN = nn.InstanceNorm2d(self.half, affine=True)
        self.BN = norm(channels - self.half)

    def forward(self, x):
        instance, batch = x[:, : self.half].contiguous(), x[:, self.half :].contiguous()
        return torch.cat([self.IN(instance), self.BN(batch)], 1)
