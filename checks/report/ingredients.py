"""What the report is made of may be missing: then the page says so by name and goes on."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from encore.runtime.bounded_file import bounded_lines
from encore.runtime.refusal import Refusal


class Missing(Exception):
    """A file that a section needs is not there; the text is the note that stands in the page instead."""


def need(folder, relative):
    """The path of an ingredient below the size folder; raises Missing naming it."""
    path = Path(folder) / relative
    if not path.exists():
        raise Missing(f"{relative} is missing: its stage has not run in this folder")
    return path


def read_columns(path):
    """{column: list of float} of a CSV with a header; an empty field is NaN. Refusals name file and line."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.reader(bounded_lines(file, path))
        header = next(rows, None)
        if not header:
            raise Refusal(f"{path}: expected a header line, found an empty file")
        columns = {name: [] for name in header}
        for row in rows:
            if len(row) != len(header):
                raise Refusal(
                    f"{path}: line {rows.line_num}: expected {len(header)} fields, found {len(row)}"
                )
            for name, text in zip(header, row):
                columns[name].append(_number(text, path, rows.line_num))
    return columns


def _number(text, path, line):
    if not text:
        return math.nan
    try:
        number = float(text)
    except ValueError:
        raise Refusal(f"{path}: line {line}: expected a number, found {text[:40]!r}") from None
    if not math.isfinite(number):
        raise Refusal(f"{path}: line {line}: expected a finite number, found {text[:40]!r}")
    return number
