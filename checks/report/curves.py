"""Training and precision-recall curves from the CSV files that the stages write."""

from __future__ import annotations

import math

from checks.report.figures import BELOW, MOST_LINES, SERIES, WIDE, Series, line_figure
from checks.report.ingredients import Missing, need, read_columns
from encore.runtime.refusal import Refusal

STUDENTS = {"train": "students", "train_kd": "online students", "baseline": "baselines"}
"""Folder of the curves -> whose they are, where a system distils a data set."""
MEASURED = {"train/loss": ("training loss", "upper right"), "val/top1": ("top-1 (%)", "lower right")}
"""Column -> (label, where the curves leave room)."""
SIZE = (3.9, 2.5)


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
            size=SIZE,
        )
        for i, name in enumerate(names)
    ]


def model_curves(folder, place, x, y, labels):
    """SVGs of one column of every CSV in `place` below the size folder, a line for each model.

    `x`, `y`: columns; `labels`: (of x, of y). A model that has no such column, or no value in it, has no
    line.
    """
    runs = [(path.stem, read_columns(path)) for path in sorted((folder / place).glob("*.csv"))]
    series = [_present(name, found[x], found[y]) for name, found in runs if {x, y} <= set(found)]
    series = [line for line in series if line.x]
    if not series:
        raise Missing(f"{place} holds no curve yet")
    name = place.replace("/", "-").replace("_", "-")
    parts = math.ceil(len(series) / MOST_LINES)
    figures = []
    for part in range(parts):
        lines = series[part * len(series) // parts : (part + 1) * len(series) // parts]
        ends = ", ".join(f"{line.label} ends at {line.y[-1]:.2f}" for line in lines)
        title = f"{labels[1]} by {labels[0]}: {ends}"
        figures.append(line_figure(f"{name}-{part}", title, lines, *labels, size=WIDE, legend=BELOW))
    return figures


def precision_recall(folder, system="isc_track2"):
    """One SVG with a line for each model of `plots/<system>/precision_recall/`, the trained one first, or
    with the one of `plots/<system>/precision_recall.csv`."""
    if (folder / "plots" / system / "precision_recall.csv").is_file():
        paths = [folder / "plots" / system / "precision_recall.csv"]
    else:
        place = need(folder, f"plots/{system}/precision_recall")
        paths = sorted(place.glob("*.csv"), key=lambda path: (path.stem != "trained", path.stem))
    series = []
    for path in paths:
        columns = read_columns(path)
        if set(columns) != {"recall", "precision"}:
            raise Refusal(f"{path}: expected the columns recall and precision, found {', '.join(columns)}")
        name = "all models" if path.stem == "precision_recall" else path.stem
        series.append(Series(name, columns["recall"], columns["precision"]))
    series = [line for line in series if line.x]
    if not series:
        raise Missing(f"plots/{system}/precision_recall holds no curve yet")
    title = f"Precision against recall: {', '.join(line.label for line in series)}"
    name = f"{system}-precision-recall"
    return line_figure(name, title, series, "recall", "precision", unit_square=True, size=WIDE)


def distillation_curves(folder, system="fkd"):
    """SVGs of what `plots/<system>` holds: the loss of the synthesis by iteration, then training loss and
    top-1 by epoch, of the students, of online distillation and of the baselines, one line each."""
    figures = _synthesis(folder, system)
    for part, whose in STUDENTS.items():
        runs = _runs(folder / "plots" / system / part)
        for column, (label, legend) in MEASURED.items():
            series = [_present(name, found["step"], found[column]) for name, found in runs if column in found]
            figures += _by_epoch(f"{system}-{part}-{column.replace('/', '-')}", whose, label, series, legend)
    if not figures:
        raise Missing(f"plots/{system} holds no curve yet")
    return figures


def _synthesis(folder, system):
    path = folder / "plots" / system / "recover.csv"
    columns = read_columns(path) if path.exists() else {"iteration": [], "loss": []}
    if not {"iteration", "loss"} <= set(columns):
        raise Refusal(f"{path}: expected the columns iteration and loss, found {', '.join(columns)}")
    series = _present("loss", columns["iteration"], columns["loss"])
    if not series.x:
        return []
    title = f"loss of the synthesis up to iteration {series.x[-1]:,.0f}"
    return [
        line_figure(f"{system}-recover", title, [series], "iteration", "loss of the synthesis", size=SIZE)
    ]


def _runs(place):
    """[(name, columns)] of the CSV files in a folder, by name; they count epochs as their step."""
    runs = [(path, read_columns(path)) for path in sorted(place.glob("*.csv"))]
    for path, columns in runs:
        if not {"step", "train/loss"} <= set(columns):
            raise Refusal(f"{path}: expected the columns step and train/loss, found {', '.join(columns)}")
    return [(path.stem, columns) for path, columns in runs]


def _by_epoch(name, whose, label, series, legend):
    """Figures of as many lines as the page has colours; a run that has not got so far has no line."""
    series = [line for line in series if line.x]
    figures = []
    for first in range(0, len(series), len(SERIES)):
        lines = series[first : first + len(SERIES)]
        epochs = 1 + max(line.x[-1] for line in lines)
        span = "1 epoch" if epochs == 1 else f"{epochs:,.0f} epochs"
        title = f"{label} of {whose} over {span}: {', '.join(line.label for line in lines)}"
        figures.append(
            line_figure(
                f"{name}-{first}", title, lines, "epoch", f"{label}, {whose}", size=SIZE, legend=legend
            )
        )
    return figures


def _present(name, x, y):
    points = [(a, b) for a, b in zip(x, y) if not (math.isnan(a) or math.isnan(b))]
    return Series(name, [a for a, _ in points], [b for _, b in points])
