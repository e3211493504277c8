"""The split table of the embedded photographs, with who made them and under which licence."""

from __future__ import annotations

import yaml

from checks.report.ingredients import need
from encore.runtime.refusal import Refusal

KEYS = ("file", "title", "source", "licence", "tiles", "split")


def photographs(folder):
    """The rows of photos.yaml as dicts, sorted by split and file; `credit` is optional."""
    path = need(folder, "photos.yaml")
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise Refusal(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Refusal(f"{path}: expected a list of photographs")
    for number, row in enumerate(rows):
        lacking = [key for key in KEYS if key not in row]
        if lacking:
            raise Refusal(f"{path}: [{number}].{lacking[0]}: this key is missing")
    shown = [{**row, "credit": row.get("credit", ""), "split": _text(row["split"])} for row in rows]
    return sorted(shown, key=lambda row: (row["split"], row["file"]))


def splits(rows):
    """{split: (photographs, tiles)} in sorted order."""
    counted = {}
    for row in rows:
        photos, tiles = counted.get(row["split"], (0, 0))
        counted[row["split"]] = (photos + 1, tiles + int(row["tiles"]))
    return dict(sorted(counted.items()))


def _text(split):
    return ", ".join(map(str, split)) if isinstance(split, list) else str(split)
