"""Classifier on cosines with an additive margin that grows with the training step."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F

from encore.runtime.refusal import Refusal

TINY = 1e-12
"""Least length that a row is divided by: dropout can leave zeros alone (published: nan)."""


class AmSoftmax(nn.Module):
    """float (n, features) -> logits float (n, classes), for a cross-entropy.

    margins: the margin m of global steps 0 to step - 1, of step to 2 step - 1, ...; the last one stays.
    scale: s. With c the cosine of a row and a class (clamped to [-1, 1]) and |x| the length of the row:

    * label column: f |x| ((1 + m) c - m), f = s, or 1 where s is 0;
    * other columns: s c, or |x| c where s is 0.

    Published quirk: with s the label column keeps the factor |x|; Wang et al. 2018 have s (c - m) there.
    weight: (classes, features), U(-1, 1), then (published quirk) each column over the classes, not each
    class, is scaled to length 1.
    """

    def __init__(self, features, classes, margins, step=2000, scale=0.0):
        super().__init__()
        if not margins or step < 1:
            raise Refusal(
                "AM-softmax: expected a list of margins and steps of 1 at least, found %s and %s: correct "
                "asoftmax_params" % (list(margins), step)
            )
        self.margins, self.step, self.scale = tuple(margins), step, scale
        self.weight = nn.Parameter(torch.empty(classes, features))
        with torch.no_grad():
            self.weight.uniform_(-1, 1).renorm_(2, 1, 1e-5).mul_(1e5)

    def margin(self, global_step):
        """The margin of a 0-based step over the whole run."""
        return self.margins[min(int(global_step) // self.step, len(self.margins) - 1)]

    def forward(self, x, labels=None, global_step=0):
        """labels: int64 (n,), or None for logits without a margin: of every column's kind but the label's."""
        lengths = x.norm(dim=1, keepdim=True)
        cosines = F.linear(x, self.weight) / lengths.clamp(min=TINY) / self.weight.norm(dim=1)
        cosines = cosines.clamp(-1, 1)
        logits = self.scale * cosines if self.scale else lengths * cosines
        if labels is None:
            return logits
        margin = self.margin(global_step)
        forced = (self.scale or 1) * lengths * ((1 + margin) * cosines - margin)
        own = torch.zeros_like(cosines).scatter(1, labels.unsqueeze(1), 1.0).bool()
        return torch.where(own, forced, logits)
