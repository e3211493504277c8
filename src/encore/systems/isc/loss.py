"""The loss of the ISC 2021 submissions: two cross entropies, the distillation between them and the triplet
loss."""

from __future__ import annotations

from dataclasses import dataclass

from encore.losses.smoothed_cross_entropy import smoothed_cross_entropy
from encore.losses.soft_cross_entropy import soft_cross_entropy
from encore.losses.soft_triplet import soft_triplet
from encore.models.isc_network import Outputs
from encore.runtime.parameters import limited


@dataclass(frozen=True)
class IscLoss:
    """10 CE(wide logits) + CE(matrix logits) + 2 KD(matrix logits, wide logits) + triplet(pooled features).

    Called with Outputs and labels -> (total, terms before weighting and `accuracy`: share of right answers).
    Outputs without matrix logits give the Track 1 loss, 10 CE + triplet (ISC 2021 Track 2, "losses").
    """

    cross_entropy: float = limited(10.0, low=0)
    matrix_cross_entropy: float = limited(1.0, low=0)
    distillation: float = limited(2.0, low=0)
    triplet: float = limited(1.0, low=0)
    label_smoothing: float = limited(0.1, low=0, high=1)
    temperature: float = limited(2.0, low=1e-6)
    margin: float = limited(0.0, low=0, high=1)
    """Published name of the triplet loss's smoothing weight; it is no margin."""

    def __call__(self, outputs: Outputs, labels):
        terms = {
            "ce": smoothed_cross_entropy(outputs.logits, labels, self.label_smoothing),
            "triplet": soft_triplet(outputs.features, labels, self.margin),
            "accuracy": _accuracy(outputs.logits, labels),
        }
        total = self.cross_entropy * terms["ce"] + self.triplet * terms["triplet"]
        if outputs.logits_matrix is not None:
            terms["ce_matrix"] = smoothed_cross_entropy(outputs.logits_matrix, labels, self.label_smoothing)
            terms["kd"] = soft_cross_entropy(outputs.logits_matrix, outputs.logits, self.temperature)
            terms["accuracy_matrix"] = _accuracy(outputs.logits_matrix, labels)
            total = total + self.matrix_cross_entropy * terms["ce_matrix"] + self.distillation * terms["kd"]
        return total, terms


def _accuracy(logits, labels):
    best = logits.detach().topk(1, dim=1)[1].squeeze(1)  # topk, as published: argmax decides ties otherwise
    return (best == labels).float().mean()
