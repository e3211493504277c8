"""Training and precision-recall curves from the CSV files that the stages write."""

from __future__ import annotations

import math

from checks.report.figures import Series, line_figure
from checks.report.ingredients import Missing, need, read_columns
from encore.runtime.refusal import Refusal


def training_curves(folder, system="isc_track2"):
    """One SVG for each column of `plots/<system>/loss.csv` against its `step`, the loss first."""
    path = need(folder, f"plots/{system}/loss.csv")
    columns = read_columns(path)
    if "step" not in columns or "loss" not in columns:
        raise Refusal(f"{path}: expected the columns step and loss, found {', '.join(columns)}")
    steps = columns.pop("step")
    if not steps:
        raise Missing(f"plots/{system}/loss.csv holds no step yet")
    names = ["loss", *(name for name in columns if name != "loss")]
    return [
        line_figure(
            f"training-{i}",
            f"{name} over {steps[-1]:,.0f} training steps",
            [_present(name, steps, columns[name])],
            "step",
            name.replace("_", " "),
            size=(3.9, 2.5),
        )
        for i, name in enumerate(names)
    ]


def precision_recall(folder, system="isc_track2"):
    """One SVG with a line for each model of `plots/<system>/precision_recall/`, the trained one first."""
    place = need(folder, f"plots/{system}/precision_recall")
    series = []
    for path in sorted(place.glob("*.csv"), key=lambda path: (path.stem != "trained", path.stem)):
        columns = read_columns(path)
        if set(columns) != {"recall", "precision"}:
            raise Refusal(f"{path}: expected the columns recall and precision, found {', '.join(columns)}")
        series.append(Series(path.stem, columns["recall"], columns["precision"]))
    if not series:
        raise Missing(f"plots/{system}/precision_recall holds no curve yet")
    title = f"Precision against recall: {', '.join(line.label for line in series)}"
    return line_figure(
        "precision-recall", title, series, "recall", "precision", unit_square=True, size=(5.2, 3.6)
    )


def _present(name, x, y):
    points = [(a, b) for a, b in zip(x, y) if not math.isnan(b)]
    return Series(name, [a for a, _ in points], [b for _, b in points])
