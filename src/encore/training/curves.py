"""Training curves as CSV, from the record of a training run."""

from __future__ import annotations

import csv
import json
import os

from encore.runtime.atomic import replacing


def write_curves(history_path, path):
    """Write `history.jsonl` as CSV: step (counted over all epochs), then its other numbers by name."""
    with open(str(history_path), encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    names = sorted({name for row in rows for name in row} - {"step", "epoch"})
    os.makedirs(os.path.dirname(str(path)) or ".", exist_ok=True)
    steps = 1 + max([row["step"] for row in rows] or [0])
    with replacing(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step"] + names)
        for row in rows:
            writer.writerow([row["epoch"] * steps + row["step"]] + [row.get(name, "") for name in names])
