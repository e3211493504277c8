"""Evidence that two implementations agree: the features that each answered to the same pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class FeaturePairs:
    """`showings`: pairs (expected, found) of float32 (n, d), one for each time that pictures were shown to
    both."""

    kind = "feature pairs"

    showings: tuple

    @classmethod
    def read(cls, entries):
        """The evidence in the Entries of a file; Refusal where they are none."""
        numbers = entries.names("expected/")
        showings = []
        for number in numbers:
            pair = [entries.table(side + number, "f") for side in ("expected/", "found/")]
            if pair[0].shape != pair[1].shape or {side.dtype.str for side in pair} != {"<f4"}:
                raise entries.refusal("found/" + number, "expected float32 of shape {}".format(pair[0].shape))
            showings.append(tuple(pair))
        if not showings or not showings[0][0].size:
            raise entries.refusal("expected/0", "missing")
        return cls(tuple(showings))

    def arrays(self):
        """{name: array} for a file."""
        return {
            "{}/{}".format(side, number): np.asarray(values, dtype=np.float32)
            for number, pair in enumerate(self.showings)
            for side, values in zip(("expected", "found"), pair)
        }

    def measure(self):
        """{largest_difference: largest absolute difference of a feature, pictures: most shown at a time}."""
        largest = max(float(np.abs(found - expected).max()) for expected, found in self.showings)
        return {
            "largest_difference": largest,
            "pictures": max(len(expected) for expected, _ in self.showings),
        }
