"""Growth as measured by `python -m benchmarks.growth`: what n entries cost, with an interval, and how far
that reaches."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from checks.size import PROJECT
from encore.runtime.refusal import Refusal

RECORD = PROJECT / "benchmarks" / "growth.json"
MOST_DECADES = 2.0
"""Beyond the largest measured size by more than so many decades a curve says nothing."""
COMMAND = "python -m benchmarks.growth"


@dataclass(frozen=True)
class Estimate:
    """A cost with its 95 % interval; `beyond`: decades above the largest measured size, 0 within."""

    value: float
    low: float
    high: float
    beyond: float = 0.0

    def times(self, factor):
        return Estimate(factor * self.value, factor * self.low, factor * self.high, self.beyond)


@dataclass(frozen=True)
class Curve:
    """fixed + coefficient * n ** exponent, with the covariance of (log coefficient, exponent), the deviation
    of the points about it in logarithms, and the quantile that makes 95 % of both."""

    name: str
    fixed: float
    coefficient: float
    exponent: float
    covariance: tuple
    residual: float
    quantile: float
    largest: int

    def at(self, n):
        """The Estimate for n entries; None where n lies more than MOST_DECADES above what was measured."""
        if n <= 0:
            return Estimate(0.0, 0.0, 0.0)
        beyond = max(0.0, math.log10(n / self.largest))
        if beyond > MOST_DECADES:
            return None
        x, (variance, both), (_, slope) = math.log(n), *self.covariance
        spread = variance + 2 * x * both + x * x * slope + self.residual**2
        factor = math.exp(self.quantile * math.sqrt(max(0.0, spread)))
        grown = self.coefficient * n**self.exponent
        return Estimate(self.fixed + grown, self.fixed + grown / factor, self.fixed + grown * factor, beyond)

    @property
    def source(self):
        return f"growth: {self.name}"


class Curves:
    """The curves of growth.json by subject, what was not measured being None; `start_seconds`: in which a
    stage's process starts and imports, or None."""

    def __init__(self, subjects=(), start_seconds=None):
        self._subjects, self.start_seconds = dict(subjects), start_seconds

    def seconds(self, name):
        """The Curve of processor seconds of a subject, or None."""
        return self._curve(name, "time")

    def memory(self, name):
        """The Curve of peak bytes of a subject, flat where its memory is constant, or None."""
        found = self._fits(name).get("memory")
        if found and "most_bytes" in found:
            largest = self._subjects[name]["points"][-1]["n"]
            return Curve(name, found["most_bytes"], 0.0, 0.0, ((0.0, 0.0), (0.0, 0.0)), 0.0, 0.0, largest)
        return self._curve(name, "memory")

    def _fits(self, name):
        return (self._subjects.get(name) or {}).get("fits") or {}

    def _curve(self, name, what):
        found = self._fits(name).get(what)
        if not found:
            return None
        return Curve(
            name,
            found["fixed"],
            found["coefficient"],
            found["exponent"],
            tuple(map(tuple, found["covariance"])),
            found["residual"],
            found["quantile"],
            found["largest"],
        )


NONE = Curves()


def read_curves(path=RECORD):
    """The Curves of a record; none at all without such a file. Refusal for one that cannot be read."""
    path = Path(path)
    if not path.is_file():
        return NONE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        curves = Curves(record["subjects"], (record.get("starts") or {}).get("seconds"))
        for name in curves._subjects:
            curves.seconds(name)
            curves.memory(name)
        return curves
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refusal(f"{path}: not a record of growth ({error!r}): run `{COMMAND}` again") from None
