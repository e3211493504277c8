"""What the published size costs, by system: forecast from measured rates, or what the claims state."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from checks.forecast.command import SYSTEMS, forecast_rows
from checks.report.ingredients import Missing
from encore.runtime.refusal import Refusal

CORES, GPUS = 20, 4
"""What the authors' machines had, and what `encore forecast` takes where nothing else is said."""
PUBLISHED, MEASURED = "the authors' hours", "rates measured by make bench"
SIZE = re.compile(r"([\d.]+) (GB|TB)\b")


@dataclass(frozen=True)
class SystemCost:
    """Of one system: hours from the least to the most that is likely, room on the disk, the hardware, and
    what the figures rest on."""

    system: str
    hours: tuple[float, float]
    disk: str
    hardware: str
    basis: str


@dataclass(frozen=True)
class Cost:
    """`systems`: one total each; `stages`: the rows of the forecast, with what each rests on."""

    systems: list[SystemCost]
    stages: list[dict]


def paper_cost(claims, root):
    """The Cost of the published size below `root`; raises Missing without any forecast or claim."""
    paper = [claim for claim in claims if claim.tier == "paper"]
    stages, objection = _forecast(root)
    systems = [_forecast_total(system, stages) for system in SYSTEMS if _of(system, stages)]
    known = {row.system for row in systems}
    for system in dict.fromkeys(claim.system for claim in paper):
        if system not in known:
            systems.append(_stated(system, [claim for claim in paper if claim.system == system]))
    if not systems:
        raise Missing(f"no published size to forecast: {objection}")
    return Cost(systems, stages)


def _forecast(root):
    """(the rows of `encore forecast` but their sum, "") or ([], why there is none)."""
    try:
        return [row for row in forecast_rows(Path(root), CORES, GPUS) if row["stage"] != "all"], ""
    except Refusal as refusal:
        return [], str(refusal)


def _of(system, stages):
    return [row for row in stages if row["stage"].split(" ")[0] == system]


def _forecast_total(system, stages):
    rows = _of(system, stages)
    hours = sum(row["hours"] or 0 for row in rows)
    shares = {PUBLISHED: 0.0, MEASURED: 0.0}
    for row in rows:
        shares[PUBLISHED if row["basis"].startswith("published") else MEASURED] += row["hours"] or 0
    basis = ", ".join(f"{share:,.1f} h from {source}" for source, share in shares.items() if share)
    lacking = [row["stage"].partition(" ")[2] for row in rows if row["hours"] is None]
    if lacking:
        basis += f"; without {', '.join(lacking)}, whose rate nobody has measured"
    gigabytes = sum(row["gigabytes"] for row in rows)
    hardware = f"{CORES} CPU cores and {GPUS} V100, one stage after the other"
    return SystemCost(system, (hours, hours), f"{gigabytes:,.0f} GB written", hardware, basis)


def _stated(system, claims):
    """The costliest claim at least; at most one run for each metric file, as claims share stages."""
    runs = {}
    for claim in claims:
        runs[claim.metric.file] = max(claim.hours, runs.get(claim.metric.file, 0))
    return SystemCost(
        system,
        (max(runs.values()), sum(runs.values())),
        max((claim.disk for claim in claims), key=gigabytes_in),
        "; ".join(sorted({claim.hardware for claim in claims})),
        "hours that the claims state: the costliest one alone, and all metric files with nothing shared",
    )


def gigabytes_in(text):
    """The sum of the gigabytes and terabytes that a text names."""
    return sum(float(number) * (1000 if unit == "TB" else 1) for number, unit in SIZE.findall(text))
