"""What the systems survived when `make faults` last ran: faults/results.json, added up and in full."""

from __future__ import annotations

import json
from dataclasses import dataclass

from checks.report.ingredients import Missing
from encore.runtime.refusal import Refusal

RESULTS = "faults/results.json"
SUITES = {
    "kill": "Kills, full disks, clocks",
    "hostile": "Hostile and broken files",
    "numerical": "Numerical faults",
    "processes": "Several processes and hosts",
    "cluster": "Clusters",
    "storage": "Shared stores, secrets",
}
PROMISES = {
    "kill": "each stage was hit, then started again: its outputs are bit for bit those of an undisturbed "
    "run, nothing half written was ever visible, nothing is left over.",
    "hostile": "each reader refused with one line that names the file, or read what is harmless; it ran no "
    "code, wrote nothing and stayed within its time and memory.",
    "numerical": "the step was found before its update, the state before it was saved, and with the cause "
    "mended the run went on from there to the same bits.",
    "processes": "other numbers of processes and restarts after a lost one ended in the same numbers.",
    "cluster": "work spread over nodes, one of them lost in the middle, gave the digests of one machine.",
    "storage": "those who share a store and stages that run at once end with whole, equal files; planted "
    "secrets are in no record.",
}
"""What surviving means, suite by suite."""
FIGURES = ("inputs", "crashes")
"""Figures of the rows that fuzz a reader."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault of a suite, over all places: how many of them, and what came of it."""

    kind: str
    places: int
    injected: int
    survived: int
    seconds: float
    skipped: tuple[str, ...]
    """Why some places could not be hit."""

    @property
    def lost(self):
        return self.injected - self.survived


@dataclass(frozen=True)
class Suite:
    """A suite's run: its title and promise, when and on what it ran, its kinds of fault and its rows."""

    name: str
    title: str
    promise: str
    finished: str
    seconds: float
    machine: str
    faults: list[Fault]
    rows: list[dict]

    @property
    def losses(self):
        """(place, kind, what was found instead) of every fault that was not survived."""
        return [(row["place"], row["kind"], loss) for row in self.rows for loss in row["losses"]]


@dataclass(frozen=True)
class Reliability:
    """All suites that were run, their sums, and the readers that were fuzzed with their figures."""

    suites: list[Suite]
    fuzzed: list[dict]

    @property
    def injected(self):
        return sum(fault.injected for suite in self.suites for fault in suite.faults)

    @property
    def lost(self):
        return sum(fault.lost for suite in self.suites for fault in suite.faults)

    @property
    def seconds(self):
        return sum(suite.seconds for suite in self.suites)


def reliability(project):
    """The Reliability that the project's faults/results.json holds; raises Missing where there is none."""
    path = project / RESULTS
    if not path.exists():
        raise Missing(f"{RESULTS} is missing: `make faults` writes it")
    try:
        suites = [
            _suite(name, record) for name, record in _ordered(json.loads(path.read_text("utf-8"))["suites"])
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refusal(f"{path}: not what `make faults` writes ({error!r}): run it again") from None
    fuzzed = [row for suite in suites for row in suite.rows if set(FIGURES) <= set(row["figures"])]
    return Reliability(suites, sorted(fuzzed, key=lambda row: (row["place"], row["kind"])))


def _ordered(suites):
    known = [name for name in SUITES if name in suites]
    return [(name, suites[name]) for name in known + sorted(set(suites) - set(known))]


def _suite(name, record):
    made, rows = record["made_with"], record["rows"]
    machine = f"{made['processor']}, {made['cores']} cores, Python {made['python']}"
    machine += f", revision {made['revision'][:10]}"
    if made["dirty"]:
        machine += " with changes"
    groups = {}
    for row in rows:
        groups.setdefault(row["kind"], []).append(row)
    faults = [_fault(kind, group) for kind, group in groups.items()]
    title, promise = SUITES.get(name, name), PROMISES.get(name, "")
    return Suite(name, title, promise, record["finished"], record["seconds"], machine, faults, rows)


def _fault(kind, rows):
    return Fault(
        kind,
        sum(1 for row in rows if row["injected"]),
        sum(row["injected"] for row in rows),
        sum(row["survived"] for row in rows),
        sum(row["seconds"] for row in rows),
        tuple(sorted({row["skipped"] for row in rows if row["skipped"]})),
    )
