"""The number of classes of a Track 1 training set divides by the four blocks of the classifier (3.3)."""

from __future__ import annotations

from encore.models.isc_network import CLASSIFIER_BLOCKS
from encore.runtime.refusal import Refusal


def surplus(count):
    """How many of `count` classes have to go (0 to 3) until the rest divides by 4; the last ones go.

    The published README advises to delete up to 3 classes, for example the first by name; which ones the
    authors deleted is not known.
    """
    return count % CLASSIFIER_BLOCKS


def refuse_unless_divisible(count, what, advice):
    """Raise Refusal where `count` classes do not divide by 4; `what` names the set, `advice` what to do."""
    if surplus(count):
        raise Refusal(
            "{}: {} classes, expected a multiple of {} (the classifier is split in {} blocks): {}".format(
                what, count, CLASSIFIER_BLOCKS, CLASSIFIER_BLOCKS, advice
            )
        )
