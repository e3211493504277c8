"""The verdicts in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from checks.blocked import BLOCKED_STATES, NOT_ATTEMPTED
from checks.several_seeds import LEVEL, TEST
from checks.verdict import DEVIATES
from checks.verdict_text import cause_text, closing_line, number_text, tolerance_text, value_text

COLOURS = {DEVIATES: "bold red", NOT_ATTEMPTED: "yellow", **dict.fromkeys(BLOCKED_STATES, "yellow")}
COLUMNS = (
    ("claim", "left"),
    ("value", "right"),
    ("expected", "right"),
    ("agrees within", "right"),
    ("verdict", "left"),
)


def show(verdicts, failed, path):
    """Print the verdicts as a table, what they rest on, and the path of the file that holds them."""
    table = Table(title=f"Verdicts ({verdicts[0].tier} size)", title_justify="left", box=box.SIMPLE_HEAD)
    for name, justify in COLUMNS:
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name == "claim")
    for row in verdicts:
        table.add_row(
            row.id if row.gating else f"{row.id} *",
            value_text(row),
            number_text(row.expected),
            tolerance_text(row.tolerance, row.expected),
            f"[{COLOURS.get(row.verdict, 'green')}]{row.verdict}[/]",
        )
    console = Console()
    console.print(table)
    for line in footnotes(verdicts, failed):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    console.print(str(path), soft_wrap=True, highlight=False)


def footnotes(verdicts, failed):
    """Where the values come from or why there is none, why some deviate, and what decides the exit status."""
    reasons = {}
    for row in verdicts:
        reasons.setdefault("; ".join(filter(None, (row.origin, row.detail))), []).append(row.id)
    for reason, ids in reasons.items():
        others = [row.id for row in verdicts if row.id not in ids]
        most = f"all claims but {', '.join(others)}" if others else "all claims"
        yield f"{reason}: {most if len(others) < len(ids) else ', '.join(ids)}"
    for row in verdicts:
        cause = cause_text(row)
        if cause:
            yield f"{row.id}: {cause}"
    counts = sorted({row.runs["n"] for row in verdicts if row.runs})
    if counts:
        runs = " or ".join(map(str, counts))
        yield f"{runs} runs: mean ± standard deviation; a mean outside deviates by a {TEST}, level {LEVEL}"
    if not all(row.gating for row in verdicts):
        yield "* informative: does not decide the exit status"
    yield closing_line(failed)
