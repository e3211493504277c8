"""The picture sheet of the synthesis: how the picture of each class comes out of the noise."""

from __future__ import annotations

import re
from dataclasses import dataclass

from checks.fingerprint_file import read_fingerprint
from checks.recipe import section_of
from checks.report.ingredients import Missing, need
from checks.report.thumbnails import side_by_side
from encore.runtime.refusal import Refusal

SIDE = 96
STRIP = re.compile(r"class(\d+)\.png")


@dataclass(frozen=True)
class Sheet:
    """`rows`: {class: data URIs of its picture after each of `iterations`}; `enlarged`: the pictures are so
    small that the page shows each of their pixels as a square."""

    iterations: list[int]
    rows: dict[int, list[str]]
    enlarged: bool


def picture_sheet(folder, system="fkd"):
    """The Sheet of `plots/<system>/snapshots`, one strip of square pictures a class.

    The iterations are those that the stage's fingerprint records. Raises Missing where a file is not there
    yet, Refusal for strips that are not of these iterations.
    """
    place = need(folder, f"plots/{system}/snapshots")
    record = need(folder, f"fingerprints/{system}/recover.json")
    iterations, classes = _recorded(record)
    found = [(STRIP.fullmatch(path.name), path) for path in sorted(place.iterdir())]
    rows, sides = {}, set()
    for match, path in found:
        if match and int(match.group(1)) < classes:  # those of more classes are of an earlier run
            side, rows[int(match.group(1))] = _strip(path, len(iterations))
            sides.add(side)
    if not rows:
        raise Missing(f"plots/{system}/snapshots holds no picture: name iterations in {system}.recover")
    return Sheet(iterations, rows, 2 * max(sides) <= SIDE)


def _strip(path, count):
    try:
        side, pictures = side_by_side(path.read_bytes(), SIDE)
    except (OSError, SyntaxError, ValueError) as error:
        raise Refusal(f"{path}: not a picture ({error}): run its stage again") from None
    if len(pictures) != count:
        raise Refusal(
            f"{path}: expected {count} square pictures side by side, found {len(pictures)}: "
            "run its stage again"
        )
    return side, pictures


def _recorded(path):
    """(iterations of the kept pictures in order, of how many classes) of a fingerprint of the stage."""
    fingerprint = read_fingerprint(path)
    iterations, kept, classes = (
        section_of(fingerprint, f"parameters.recipe.{key}")
        for key in ("iterations", "snapshots", "snapshot_classes")
    )
    numbers = [iterations, classes, *kept] if isinstance(kept, list) else [None]
    if not all(isinstance(number, int) for number in numbers):
        raise Refusal(
            f"{path}: parameters.recipe: expected iterations, snapshots and snapshot_classes: run its stage "
            "again"
        )
    return sorted({number for number in kept if number <= iterations}), classes
