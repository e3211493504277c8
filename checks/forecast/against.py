"""The forecast against a run that was made: seconds that its stages recorded, by the rows of the forecast."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from encore.runtime.refusal import Refusal

LEAST_SECONDS = 0.001


@dataclass(frozen=True)
class Compared:
    """One row of the forecast and the stages of the run that it stands for, in seconds; None: no forecast."""

    stage: str
    forecast: float | None
    measured: float
    runs: int

    @property
    def factor(self):
        """Measured over forecast; None without a forecast, or for one of no work at all."""
        return self.measured / self.forecast if self.forecast else None


def recorded(folder):
    """{"system stage[ item]": seconds} of a size's fingerprints; Refusal where there are none."""
    top = Path(folder) / "fingerprints"
    found = {}
    for path in sorted(top.rglob("*.json")):
        name = " ".join(path.relative_to(top).with_suffix("").parts)
        try:
            found[name] = max(
                LEAST_SECONDS, float(json.loads(path.read_text(encoding="utf-8"))["wall_seconds"])
            )
        except (ValueError, KeyError, TypeError) as error:
            raise Refusal(f"{path}: not the record of a stage ({error!r}): run the stage again") from None
    if not found:
        raise Refusal(f"{top}: no records of stages: run the pipeline, or fetch them with `make pull`")
    return found


def compare(rows, found):
    """([Compared] of the Rows that `found` has stages of, the stages that no Row stands for)."""
    compared, left = [], dict(found)
    for row in rows:
        names = [name for name in left if name == row.stage or name.startswith(row.stage + " ")]
        if not names:
            continue
        seconds = None if row.hours is None else 3600 * row.hours
        compared.append(Compared(row.stage, seconds, sum(left.pop(name) for name in names), len(names)))
    return compared, sorted(left)


def summary(compared):
    """{rows, median_factor, error_factor, error_factor_beside_the_median, worst_factor, …} over the rows
    with a factor: error_factor is exp of the median of |log factor|; beside the median, of |log factor -
    its median|: what is left once the machine's speed and load are taken out."""
    factors = {row.stage: row.factor for row in compared if row.factor}
    if not factors:
        return {"rows": 0}
    logs = {stage: math.log(factor) for stage, factor in factors.items()}
    middle = statistics.median(logs.values())
    worst = max(logs, key=lambda stage: abs(logs[stage]))
    return {
        "rows": len(logs),
        "median_factor": math.exp(middle),
        "error_factor": math.exp(statistics.median(map(abs, logs.values()))),
        "error_factor_beside_the_median": math.exp(
            statistics.median(abs(value - middle) for value in logs.values())
        ),
        "worst_factor": factors[worst],
        "worst_stage": worst,
        "forecast_seconds": sum(row.forecast for row in compared if row.factor),
        "measured_seconds": sum(row.measured for row in compared if row.factor),
    }
