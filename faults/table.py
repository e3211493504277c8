"""What `make faults` prints: one line for each kind of fault, and every loss."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table


@dataclass(frozen=True)
class Line:
    """The rows of one kind of fault of one suite, added up."""

    suite: str
    kind: str
    places: int
    """Where the fault was injected."""
    injected: int
    survived: int
    seconds: float
    skipped: int
    """Places whose machine does not allow it."""

    @property
    def lost(self):
        return self.injected - self.survived


def lines(rows):
    """The Lines of all rows, in the order in which the kinds first come."""
    groups = {}
    for row in rows:
        groups.setdefault((row.suite, row.kind), []).append(row)
    return [
        Line(
            suite,
            kind,
            sum(1 for row in group if row.injected),
            sum(row.injected for row in group),
            sum(row.survived for row in group),
            sum(row.seconds for row in group),
            sum(1 for row in group if row.skipped),
        )
        for (suite, kind), group in groups.items()
    ]


def table(rows, seconds):
    """The rich table of all Lines with their sum; seconds: of the whole run, as a clock shows it."""
    made = Table(title="Faults injected, survived, lost", title_justify="left")
    for name, place in (("suite", "left"), ("fault", "left"), *((name, "right") for name in COUNTS)):
        made.add_column(name, justify=place)
    found = lines(rows)
    for line in found:
        skipped = f" ({line.skipped} skipped)" if line.skipped else ""
        made.add_row(line.suite, line.kind + skipped, *_counted(line.places, line, line.seconds))
    made.add_section()
    whole = Line(
        "all", "", 0, sum(line.injected for line in found), sum(line.survived for line in found), 0, 0
    )
    places = len({(row.suite, row.place) for row in rows if row.injected})
    made.add_row("all", "", *_counted(places, whole, seconds), style="bold")
    return made


COUNTS = ("places", "injected", "survived", "lost", "seconds")


def _counted(places, line, seconds):
    counts = (places, line.injected, line.survived, line.lost)
    return [f"{count:,}" for count in counts] + [f"{seconds:,.1f}"]
