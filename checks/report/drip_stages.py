"""The loss across the stages of a training with more and more classes, and what each stage is worth."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass

from checks.report.figures import BELOW, Series, line_figure
from checks.report.ingredients import Missing, need
from encore.runtime.bounded_file import bounded_lines
from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal

COLUMNS = ["stage", "kernel", "classes", "epoch", "total_epoch", "trn_loss", "val_loss"]
KERNELS = ("centroids", "random")
FEW_EPOCHS = 60
"""So many points can be told apart."""


@dataclass(frozen=True)
class Epoch:
    """One row of `plots/drip/stages.csv`."""

    stage: str
    kernel: str
    classes: int
    epoch: int
    total_epoch: int
    trn_loss: float
    val_loss: float


@dataclass(frozen=True)
class StageRow:
    """A stage: its kernel at its start, its epochs, the training loss of the first and of the last, and what
    its descriptors are worth; None: not measured."""

    name: str
    classes: int
    kernel: str
    control: bool
    epochs: int
    first_loss: float
    last_loss: float
    values: dict[str, float | None]


@dataclass(frozen=True)
class DripStages:
    """`figure`: an SVG; `rows`: the stages; `compared`: the numbers of `metrics/drip/compare.json`."""

    figure: str
    rows: list[StageRow]
    compared: dict[str, float]


def drip_stages(folder, system="drip"):
    """The DripStages of `plots/<system>/stages.csv`, with the values of the stages that were inferred.

    Raises Missing where the stages have not been compared, Refusal for bad files.
    """
    path = need(folder, f"plots/{system}/stages.csv")
    stages = read_stages(path)
    if not stages:
        raise Missing(f"plots/{system}/stages.csv holds no epoch yet")
    compared = _numbers(need(folder, f"metrics/{system}/compare.json"))
    rows = [
        StageRow(
            epochs[0].stage,
            epochs[0].classes,
            epochs[0].kernel,
            is_control(epochs),
            len(epochs),
            epochs[0].trn_loss,
            epochs[-1].trn_loss,
            _values(folder, system, epochs[0].stage),
        )
        for epochs in stages
    ]
    return DripStages(stage_figure(stages), rows, compared)


def read_stages(path):
    """[[Epoch of a stage]] of the CSV, in its order; raises Refusal naming file and line."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.reader(bounded_lines(file, path))
        header = next(rows, None)
        if header != COLUMNS:
            raise Refusal(f"{path}: expected the columns {', '.join(COLUMNS)}, found {header}")
        epochs = [_epoch(row, f"{path}: line {rows.line_num}") for row in rows]
    names = list(dict.fromkeys(epoch.stage for epoch in epochs))
    return [[epoch for epoch in epochs if epoch.stage == name] for name in names]


def is_control(epochs):
    """Whether a stage rests on another one, but began with random columns for its classes."""
    return epochs[0].kernel == "random" and epochs[0].total_epoch > epochs[0].epoch


def stage_figure(stages):
    """An SVG of the losses of `stages` by epoch, parted where a stage begins; the controls are a line of
    their own, beside the stage that they are compared with."""
    chain = [epochs for epochs in stages if not is_control(epochs)]
    controls = [epochs for epochs in stages if is_control(epochs)]
    lines = [_line("training loss", chain, "trn_loss"), _line("validation loss", chain, "val_loss")]
    if controls:
        lines.append(_line("training loss, random kernel", controls, "trn_loss"))
    starts = {epochs[0].total_epoch: _short(epochs[0].classes) for epochs in chain}
    title = "Loss by epoch of the stages: " + ", ".join(
        f"{epochs[0].stage}{' (control)' if is_control(epochs) else ''} with {epochs[0].classes:,} classes, "
        f"training loss {epochs[0].trn_loss:.2f} to {epochs[-1].trn_loss:.2f}"
        for epochs in stages
    )
    return line_figure(
        "drip-stages",
        title,
        lines,
        "epoch, counted over the stages",
        "mean loss of the epoch",
        points=sum(map(len, stages)) <= FEW_EPOCHS,
        legend=BELOW,
        marks=("classes of the stage", starts),
        size=(4.5, 3.6),
    )


def _line(label, stages, loss):
    x, y = [], []
    for epochs in stages:
        gap = [epochs[0].total_epoch] if x else []
        x += gap + [epoch.total_epoch for epoch in epochs]
        y += [math.nan for _ in gap] + [getattr(epoch, loss) for epoch in epochs]
    return Series(label, x, y)


def _short(classes):
    return f"{classes // 1000}k" if classes % 1000 == 0 else f"{classes:,}"


def _epoch(row, where):
    if len(row) != len(COLUMNS):
        raise Refusal(f"{where}: expected {len(COLUMNS)} fields, found {len(row)}")
    try:
        epoch = Epoch(row[0], row[1], *map(int, row[2:5]), *map(float, row[5:]))
    except ValueError:
        raise Refusal(f"{where}: expected {', '.join(COLUMNS[2:])} as numbers, found {row[2:]}") from None
    if epoch.kernel not in KERNELS:
        raise Refusal(f"{where}: expected the kernel {' or '.join(KERNELS)}, found {epoch.kernel!r}")
    if not (math.isfinite(epoch.trn_loss) and math.isfinite(epoch.val_loss)):
        raise Refusal(f"{where}: expected finite losses, found {row[5:]}")
    return epoch


def _values(folder, system, stage):
    """Micro average precision of the stage's descriptors, plain and normalised; None where it is not
    there."""
    try:
        numbers = _numbers(need(folder, f"metrics/{system}/infer/{stage}.json"))
    except Missing:
        numbers = {}
    return {name: numbers.get(name) for name in ("average_precision", "normalised_average_precision")}


def _numbers(path):
    try:
        value = read_json_file(path)
    except ValueError as error:
        raise Refusal(f"{path}: not JSON ({error}): run its stage again") from None
    if not isinstance(value, dict) or not all(_is_number(number) for number in value.values()):
        raise Refusal(f"{path}: expected names with finite numbers: run its stage again")
    return value


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
