"""How far the forecast of the mini size is from what the stages of the stored mini run recorded."""

from __future__ import annotations

from checks.forecast.against import compare, recorded, summary
from checks.forecast.command import stage_rows
from checks.size import PROJECT

CORES, GPUS = 2, 0
"""What the mini run has: bin/mini starts two stages at a time, each with one thread for its network."""
FINGERPRINTS = PROJECT / "mini" / "fingerprints"
WHAT = (
    "seconds: the forecast of each row, from benchmarks of parts alone, none of which is the mini run; and "
    "the sum of what its stages recorded, from after their imports to their end, two stages at a time on two "
    "cores. factor: measured over forecast; error_factor: half of the rows are within it; beside the median: "
    "the same once all forecasts are multiplied by the median factor, what machine and load have in common"
)


def measured(folder=PROJECT / "mini"):
    """{what, rows, without_a_row, summary}, or None where no mini run, made here or pulled, is there."""
    if not (folder / "fingerprints").is_dir():
        return None
    rows, _ = stage_rows(folder, CORES, GPUS, further=True)
    compared, left = compare(rows, recorded(folder))
    return {
        "what": WHAT,
        "rows": {
            row.stage: {
                "runs": row.runs,
                "forecast_seconds": None if row.forecast is None else round(row.forecast, 3),
                "measured_seconds": round(row.measured, 3),
                "factor": None if row.factor is None else round(row.factor, 3),
            }
            for row in compared
        },
        "without_a_row": left,
        "summary": {key: round(v, 3) if isinstance(v, float) else v for key, v in summary(compared).items()},
    }
