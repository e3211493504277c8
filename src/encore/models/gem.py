"""Generalised-mean pooling."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class GeM(nn.Module):
    """Feature maps (n, c, h, w) -> (n, c, 1, 1): the p-th root of the mean of the p-th powers.

    Values are first clamped to at least `eps`. `p` is one trainable number, shape (1,)
    (Radenovic et al. 2018, equation 3; ISC 2021 Track 2, table "Training").
    """

    def __init__(self, p=3.0, eps=1e-6):
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), float(p)))
        self.eps = eps

    def forward(self, x):
        powers = x.clamp(min=self.eps).pow(self.p)
        return F.avg_pool2d(powers, (x.size(-2), x.size(-1))).pow(1.0 / self.p)
