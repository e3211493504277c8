"""The loss of a training step: classification and triplets, combined as in either state."""

from __future__ import annotations

from typing import Dict, NamedTuple, Optional

import torch
import torch.nn.functional as F

from encore.losses.batch_hard_triplet import TripletStatistics, batch_hard_triplet
from encore.losses.focal import focal
from encore.systems.reid.branch_drop import kept_branches

CLASSIFICATION = "xent_loss"
TRIPLET = "tri_loss"


class Loss(NamedTuple):
    """A step's loss and what is logged of it."""

    total: torch.Tensor
    """A scalar with its gradient."""
    terms: Dict[str, float]
    """xent_loss and tri_loss where they are on, with their factors: they add up to the total."""
    accuracy: float
    """In [0, 1]; nan where nothing classifies."""
    triplet: Optional[TripletStatistics]
    """Of the embedding, or of all parts together; None without a triplet loss."""


class Objective:
    """(Outputs, labels int64 (n,), numpy RandomState) -> Loss, by a ReidParams.

    Classification: the sum of the outputs' cross-entropies, or of focal losses where focal_loss is on, over
    the branches that random_drop_branchs leaves. Triplets: the sum over the features (one embedding; or all
    parts, and the global feature). Factors: state S has lambda_cls and lambda_tri where both losses are on
    and none with one alone; H has them always (published: lambda_cls of 0 without triplets trains nothing).
    Accuracy: of the mean of the logits in S, the mean of the outputs' accuracies in H; over the batch as it
    is (S published: over the configured batch, which is wrong for a short one).
    """

    def __init__(self, params):
        triplet, later = params.tri_loss_params, params.state == "H"
        self.later, self.losses = later, tuple(params.losses)
        self.margin, self.adaptive = triplet.margin, triplet.use_adaptive_weight
        self.dropped = params.model_params.random_drop_branchs
        self.classification = focal if params.focal_loss else F.cross_entropy
        factors = later or len(self.losses) > 1
        self.classification_factor = triplet.lambda_cls if factors else 1.0
        self.triplet_factor = triplet.lambda_tri if factors else 1.0

    def __call__(self, outputs, labels, rng):
        terms, statistics = {}, None
        if TRIPLET in self.losses:
            terms[TRIPLET], statistics = self._triplet(outputs.features, labels)
        if CLASSIFICATION in self.losses:
            kept = kept_branches(len(outputs.logits), self.dropped, rng)
            loss = sum(self.classification(outputs.logits[branch], labels) for branch in kept)
            terms[CLASSIFICATION] = self.classification_factor * loss
        total = sum(terms.values())
        logged = torch.stack([term.detach() for term in terms.values()]).tolist()
        return Loss(total, dict(zip(terms, logged)), self._accuracy(outputs.logits, labels), statistics)

    def _triplet(self, features, labels):
        results = [batch_hard_triplet(part, labels, self.margin, self.adaptive) for part in features]
        return self.triplet_factor * sum(loss for loss, _ in results), results[0][1]

    def _accuracy(self, logits, labels):
        if not logits:
            return float("nan")
        stacked = torch.stack([output.detach() for output in logits])
        if not self.later:
            stacked = stacked.mean(0, keepdim=True)
        return (stacked.argmax(2) == labels).to(stacked.dtype).mean().item()
