"""Evidence of a training's losses: the curve of each run, and which epochs are reported."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from encore.metrics.evidence.archive import encoded


@dataclass(frozen=True, eq=False)
class LossCurves:
    """`curves`: {name: float64 (epochs,)}, mean loss of each epoch; `reported`: {key: (name, epoch)}, epochs
    from 0."""

    kind = "loss curves"

    curves: dict
    reported: dict

    @classmethod
    def read(cls, entries):
        """The evidence in the Entries of a file; Refusal where they are none."""
        curves = OrderedDict(
            (name, entries.floats("curve/{}".format(number)).astype(np.float64))
            for number, name in enumerate(entries.texts("names"))
        )
        reported = OrderedDict()
        for key, name, epoch in entries.rows("reported", 3):
            if not epoch.isdigit() or name not in curves or int(epoch) >= len(curves[name]):
                raise entries.refusal("reported", "{}: no epoch {} of {}".format(key, epoch, name))
            reported[key] = name, int(epoch)
        return cls(curves, reported)

    def arrays(self):
        """{name: array} for a file."""
        rows = ["\t".join((key, name, str(epoch))) for key, (name, epoch) in self.reported.items()]
        found = {"names": encoded(self.curves), "reported": encoded(rows)}
        for number, losses in enumerate(self.curves.values()):
            found["curve/{}".format(number)] = np.asarray(losses, dtype=np.float64)
        return found

    def measure(self):
        """{key: float}."""
        return {key: float(self.curves[name][epoch]) for key, (name, epoch) in self.reported.items()}
