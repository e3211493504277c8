"""How micro average precision grows as a fusion takes in further lists."""

from __future__ import annotations

import csv
import math

from checks.report.figures import bar_figure
from checks.report.ingredients import Missing, need
from encore.runtime.bounded_file import bounded_lines
from encore.runtime.refusal import Refusal

COLUMNS = ["step", "micro_ap"]


def ladder(folder, system="isc_track1"):
    """One SVG with a bar for each row of `plots/<system>/ladder.csv`, in the order of the fusion."""
    path = need(folder, f"plots/{system}/ladder.csv")
    steps = read_ladder(path)
    if not steps:
        raise Missing(f"plots/{system}/ladder.csv holds no step yet")
    labels, values = zip(*steps)
    title = "Micro average precision of the fusion: " + ", ".join(
        f"{label} {value:.3f}" for label, value in steps
    )
    return bar_figure(
        "ladder", title, labels, values, "micro average precision", size=(4.5, 0.8 + 0.27 * len(steps))
    )


def read_ladder(path):
    """[(step, micro average precision)] of the CSV; raises Refusal naming file and line."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.reader(bounded_lines(file, path))
        header = next(rows, None)
        if header != COLUMNS:
            raise Refusal(f"{path}: expected the columns {', '.join(COLUMNS)}, found {header}")
        return [_step(row, f"{path}: line {rows.line_num}") for row in rows]


def _step(row, where):
    try:
        label, value = row[0], float(row[1])
    except (IndexError, ValueError):
        raise Refusal(f"{where}: expected a name and a number, found {row}") from None
    if not math.isfinite(value):
        raise Refusal(f"{where}: expected a finite number, found {value}")
    return label.replace("_", " "), value
