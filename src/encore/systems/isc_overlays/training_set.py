"""The detector's training set: pictures in shards, `boxes.csv` beside the manifest, two parts by picture."""

from __future__ import annotations

import csv
import dataclasses
import glob
import io
import os
from typing import NamedTuple, Tuple

import numpy as np

from encore.data.augment.assets import Assets
from encore.data.augment.draws import Draws
from encore.data.foreign import ForeignPictures
from encore.data.image_source import open_source
from encore.data.images import RejectedImage, decode_image
from encore.data.shard_writing import Rejected, write_data_set
from encore.data.shards import ShardSet
from encore.runtime.atomic import replacing
from encore.runtime.bounded_file import bounded_lines, read_bounded
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.systems.isc.generation import jpeg
from encore.systems.isc_overlays.pasting import PastingRecipe, pasted

SYSTEM = "isc_overlays"
BOXES = "boxes.csv"
LARGEST_BOXES = 1 << 28
"""Bytes: 256 MiB, fifty for each box of five million."""
PART_OF_SHARD = "boxes-{:05d}.csv"
HEADER = ("image", "part", "class", "x1", "y1", "x2", "y2")
TRAINING, VALIDATION = "training", "validation"


@dataclasses.dataclass(frozen=True)
class GenerateParameters:
    """Parameters of the stage `generate`."""

    images: str = limited()
    """The training pictures."""
    every: int = limited(low=1)
    """Each `every`-th picture of the sorted list is used."""
    copies: int = limited(low=1)
    """Pictures made of each."""
    validation: float = limited(low=0.01, high=0.9)
    """Share of the pictures that only the validation part is made of: the last of the sorted list, so that
    tiles of one photograph, which lie side by side, stay together. Of the foreign pictures it gets every
    n-th."""
    quality: int = limited(low=1, high=100)
    foreign: str = limited()
    """Folder of the pictures on which pictures are pasted."""
    foreign_pictures: int = limited(low=2)
    pasting: PastingRecipe = PastingRecipe()
    seed: int = limited(0, low=0)
    workers: int = limited(1, low=1, high=1024)
    pictures_per_shard: int = limited(250, low=1)
    max_rejected: int = limited(0, low=0)

    def recipe(self):
        """What decides the result: everything but how the work is spread and what is tolerated."""
        return {
            key: value
            for key, value in dataclasses.asdict(self).items()
            if key not in ("workers", "max_rejected")
        }


class Labelled(NamedTuple):
    """The pictures of one part of a set, with their boxes."""

    source: ShardSet
    rows: Tuple[int, ...]
    """Their places in `source`."""
    boxes: Tuple[np.ndarray, ...]
    """float64 (n, 5) each: x1, y1, x2, y2 in pixels of the picture, class."""


def generate_overlay_set(folder, parameters, digest):
    """Write the set into `folder`; returns its Manifest. `digest`: the recipe's digest."""
    source = open_source(parameters.images)
    positions = range(0, len(source), parameters.every)
    held_out = int(round(len(positions) * parameters.validation))
    if not 0 < held_out < len(positions):
        raise Refusal(
            "{}: {} pictures cannot be parted into training and validation: add pictures or lower "
            "every".format(parameters.images, len(positions))
        )
    if not parted(parameters.foreign_pictures, parameters.validation)[VALIDATION]:
        raise Refusal(
            "foreign_pictures: {} are too few to hold out a share of {:g}".format(
                parameters.foreign_pictures, parameters.validation
            )
        )
    numbered = list(enumerate(positions))
    step = parameters.pictures_per_shard
    units = list(enumerate(numbered[start : start + step] for start in range(0, len(numbered), step)))

    def make_worker():
        maker = _Maker(source, parameters, len(positions) - held_out)
        return lambda unit: maker.shard(folder, *unit)

    manifest = write_data_set(
        folder, units, make_worker, parameters.workers, digest, parameters.max_rejected, "overlay shards"
    )
    _join_boxes(str(folder), len(units))
    return manifest


class _Maker:
    """Makes pictures in one process; each from its own seed."""

    def __init__(self, source, parameters, validation_from):
        import torch

        torch.set_num_threads(1)
        self.source, self.parameters, self.validation_from = source, parameters, validation_from
        self.assets = Assets("basic")  # text is not written here
        self.foreign = ForeignPictures(parameters.foreign, parameters.foreign_pictures)
        self.foreign_of = parted(parameters.foreign_pictures, parameters.validation)

    def shard(self, folder, number, pictures):
        """The images of one shard; its boxes are on disk before the first of them is handed over."""
        images, lines = [], []
        for picture, position in pictures:
            part = VALIDATION if picture >= self.validation_from else TRAINING
            try:
                for name, data, boxes in self._copies(picture, position, part):
                    images.append((name, data, picture))
                    lines.extend(_lines(name, part, boxes))
            except RejectedImage as error:
                images.append(Rejected(self.source.names[position], error.reason))
        with replacing(os.path.join(str(folder), PART_OF_SHARD.format(number)), "w") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)
        return images

    def _copies(self, picture, position, part):
        parameters = self.parameters
        image = decode_image(self.source.read(position))
        made = []
        for copy in range(parameters.copies):
            draws = Draws(derive_seed(parameters.seed, SYSTEM, "generate", picture, copy))
            result, boxes = pasted(
                image,
                lambda draws=draws: self.foreign(draws.choice(self.foreign_of[part])),
                parameters.pasting,
                self.assets,
                draws,
            )
            made.append(("{}_{}.jpg".format(picture, copy), jpeg(result, parameters.quality), boxes))
        return made


def parted(count, share):
    """{part: the numbers below `count` that it gets}: every round(1 / share)-th for validation."""
    step = max(2, int(round(1 / share)))
    parts = {VALIDATION: list(range(step - 1, count, step))}
    parts[TRAINING] = sorted(set(range(count)) - set(parts[VALIDATION]))
    return parts


def _lines(name, part, boxes):
    if not len(boxes):
        return [(name, part, "", "", "", "", "")]
    return [(name, part, int(box[4])) + tuple("{:g}".format(value) for value in box[:4]) for box in boxes]


def _join_boxes(folder, shards):
    parts = [os.path.join(folder, PART_OF_SHARD.format(number)) for number in range(shards)]
    with replacing(os.path.join(folder, BOXES), "w") as file:
        file.write(",".join(HEADER) + "\n")
        for path in parts:
            with open(path, encoding="utf-8") as part:
                file.write(part.read())
    for path in glob.glob(os.path.join(folder, "boxes-*.csv")):
        os.unlink(path)


def read_overlay_set(folder):
    """The set that `generate_overlay_set` wrote -> {part: Labelled} with both parts.

    Raises Refusal, naming file and line, for boxes that do not belong to its pictures.
    """
    source = ShardSet(folder)
    path = os.path.join(str(folder), BOXES)
    try:
        text = read_bounded(path, LARGEST_BOXES).decode("utf-8")
        lines = bounded_lines(io.StringIO(text, newline=""), path)
        rows = list(csv.reader(lines))
    except FileNotFoundError:
        raise Refusal("{}: missing: generate the set again".format(path)) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Refusal("{}: not a table of boxes ({}): generate the set again".format(path, error)) from None
    if not rows or tuple(rows[0]) != HEADER:
        raise Refusal("{}: expected the header {}: generate the set again".format(path, ",".join(HEADER)))
    boxes, parts = {name: [] for name in source.names}, {}
    for number, row in enumerate(rows[1:], 2):
        name, part, box = _parsed(row, boxes, "{}:{}".format(path, number))
        parts[name] = part
        boxes[name].extend(box)
    unlisted = [name for name in source.names if name not in parts]
    if unlisted:
        raise Refusal("{}: no line for {}: generate the set again".format(path, unlisted[0]))
    return {part: _labelled(source, boxes, parts, part, path) for part in (TRAINING, VALIDATION)}


def _parsed(row, known, where):
    """(name, part, [] or [one box]) of a line."""
    if len(row) != len(HEADER) or row[0] not in known or row[1] not in (TRAINING, VALIDATION):
        raise Refusal(
            "{}: expected {} of a picture of the set: generate it again".format(where, ",".join(HEADER))
        )
    if not any(row[2:]):
        return row[0], row[1], []
    try:
        box = [float(value) for value in row[3:] + row[2:3]]
    except ValueError:
        box = [np.nan] * 5
    if not np.isfinite(box).all() or box[0] >= box[2] or box[1] >= box[3] or box[4] not in (0, 1):
        raise Refusal("{}: no box of class 0 or 1: {}: generate the set again".format(where, ",".join(row)))
    return row[0], row[1], [box]


def _labelled(source, boxes, parts, part, path):
    rows = tuple(i for i, name in enumerate(source.names) if parts[name] == part)
    if not rows:
        raise Refusal("{}: the {} part is empty: generate the set again".format(path, part))
    arrays = (np.array(boxes[source.names[i]], dtype=np.float64).reshape(-1, 5) for i in rows)
    return Labelled(source, rows, tuple(arrays))
