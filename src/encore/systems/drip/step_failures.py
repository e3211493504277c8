"""Augmentation steps that raise, counted by name (spec drip 8, trap 25).

The published code draws a view again whenever anything raises. Under other versions of its libraries some
steps always raise, so that training goes on without them and nobody is told.
"""

from __future__ import annotations

import math
from collections import Counter

from encore.runtime.refusal import Refusal

SLACK = 4
"""Standard deviations that a step may raise more often than the threshold says, so that few views do not
decide."""


class StepFailures:
    """How often each step raised in so many augmented views.

    threshold: the share of views in which any one step may raise.
    """

    def __init__(self, threshold=0.01):
        if not 0 <= threshold <= 1:
            raise Refusal(
                "the share of raised steps must lie in 0..1, found {}: correct it".format(threshold)
            )
        self.threshold, self.counts, self.views = threshold, Counter(), 0

    def add(self, raised, views):
        """Count `raised`, name -> times, of `views` more augmented views.

        Refusal, naming steps and counts, where a step raises more often than the threshold allows: in n views
        more than n threshold + SLACK sqrt(n threshold) + 1 times.
        """
        self.counts.update(raised)
        self.views += views
        expected = self.views * self.threshold
        most = expected + SLACK * math.sqrt(expected) + 1
        above = ["{} {}".format(*item) for item in sorted(self.counts.items()) if item[1] > most]
        if above and self.threshold < 1:
            raise Refusal(
                "augmentation steps raise in more than {:g} of all views, so training would go on without "
                "them: {} times in {} views: install the versions of the lock, or raise the share".format(
                    self.threshold, ", ".join(above), self.views
                )
            )

    def state(self):
        """What `load` takes: plain values, for a checkpoint."""
        return {"views": self.views, "counts": dict(self.counts)}

    def load(self, state):
        """Go on counting from a `state()`."""
        self.views, self.counts = state["views"], Counter(state["counts"])

    def metrics(self):
        """Flat dict: `raised_steps`, all of them, and `raised_<step>`."""
        found = {"raised_" + name: count for name, count in sorted(self.counts.items())}
        return dict(found, raised_steps=sum(self.counts.values()))
