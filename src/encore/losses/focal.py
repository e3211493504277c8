"""Cross-entropy that counts easy samples less."""

from __future__ import annotations

import torch.nn.functional as F


def focal(logits, labels, gamma=2.0):
    """Mean over rows of -(1 - p)^gamma ln p, p the softmax probability of the label; a scalar.

    logits: float (n, C); labels: int64 (n,). Gradients pass through p too. Source: Lin et al. 2017, without
    its class weights.
    """
    logarithms = F.log_softmax(logits, dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)
    return -((1 - logarithms.exp()).pow(gamma) * logarithms).mean()
