"""What a part of the check finds: comparisons that pass or fail, and what could not be run."""

from __future__ import annotations

import math
from typing import NamedTuple, Tuple


class Check(NamedTuple):
    """One comparison: found <= bound passes; a `found` that is no number never does."""

    name: str
    found: float
    bound: float
    reason: str
    """Why the bound is what it is."""
    note: str = ""

    @property
    def passed(self):
        return self.found <= self.bound

    def entry(self):
        """As a JSON-able dict; numbers that JSON does not know are text."""
        entry = dict(self._asdict(), passed=self.passed)
        for name in ("found", "bound"):
            value = float(entry[name])
            entry[name] = value if math.isfinite(value) else str(value)
        return entry


def broken(name, bound, reason, note):
    """The check of a computation that gave nothing to compare."""
    return Check(name, math.nan, bound, reason, note)


class NotRun(NamedTuple):
    """Something that this machine cannot do, and why."""

    what: str
    why: str


class Found(NamedTuple):
    """What a part found."""

    checks: Tuple[Check, ...] = ()
    not_run: Tuple[NotRun, ...] = ()
    figures: dict = {}
    """Further entries of the record."""
