"""Evidence of a classifier: of each validation picture its class and those of the largest logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encore.metrics.evidence.resampling import Pool, drawn_values, weighted_mean


@dataclass(frozen=True, eq=False)
class ClassifiedPictures:
    """`labels` int (n,); `first` int (n,), the class of the largest logit; `five` int (n, k), those of the
    five largest (all, where there are fewer), largest first.

    Among equal logits a search for one may find another class than a search for five finds first: both are
    kept as they were counted.
    """

    kind = "classified pictures"

    labels: np.ndarray
    first: np.ndarray
    five: np.ndarray

    @classmethod
    def read(cls, entries):
        """The evidence in the Entries of a file; Refusal where they are none."""
        labels = entries.integers("labels")
        first = entries.integers("first", length=len(labels))
        five = entries.table("five", "iu")
        if not len(labels) or len(five) != len(labels):
            raise entries.refusal(
                "five", "expected a row for each of {} pictures, found {}".format(len(labels), len(five))
            )
        return cls(labels, first, five)

    def arrays(self):
        """{name: array} for a file."""
        return {"labels": self.labels, "first": self.first, "five": self.five}

    def measure(self):
        """{top1, top5}: percent of the pictures whose class is the first, or among the five."""
        count = len(self.labels)
        return {key: 100.0 * (float(np.count_nonzero(hit)) / count) for key, hit in self._hits().items()}

    def units(self):
        """Names of what is drawn, a list: the pictures, by place and class."""
        return list(enumerate(np.asarray(self.labels).tolist()))

    def bootstrap(self, draws, seed, pool=None):
        """{key: float64 (draws,)} over pictures drawn with replacement, from a Pool where that is given."""
        hits = self._hits()
        return drawn_values(
            pool or Pool.own(len(self.labels)),
            draws,
            seed,
            lambda counts: {key: 100.0 * weighted_mean(counts, hit) for key, hit in hits.items()},
        )

    def _hits(self):
        return {
            "top1": np.asarray(self.first) == np.asarray(self.labels),
            "top5": (np.asarray(self.five) == np.asarray(self.labels)[:, None]).any(axis=1),
        }
