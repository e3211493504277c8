"""Labels in the published layout: `<folder>/epoch_<e>/batch_<b>.tar`, one torch file a batch.

Each holds a list of six: crops float32 (b, 4), flips bool (b,), permutation int64 (b,), share (a float), box
(four numbers: top, left, bottom, right) and logits float16 or float32 (b, classes); permutation, share and
box are None where nothing was mixed, the box where mixup was. The published generator wrote the box as numpy
scalars, which torch from 2.6 on refuses to read; here it is written as Python integers, which every version
and the published trainer read.
"""

from __future__ import annotations

import os
import pickletools
import re
import struct
from typing import NamedTuple

import torch

from encore.runtime.atomic import replacing
from encore.runtime.bounded_file import file_size
from encore.runtime.parameters import recipe_digest
from encore.runtime.refusal import Refusal, brief
from encore.runtime.safe_load import safe_load
from encore.systems.fkd.label_batch import DTYPES, LabelBatch, LabelDescription, check_batch
from encore.systems.fkd.label_set import Labels
from encore.systems.fkd.mixing import NONE, MixDraw

ENTRIES = 6
EPOCH = re.compile(r"epoch_(0|[1-9][0-9]*)")
BATCH = re.compile(r"batch_(0|[1-9][0-9]*)\.tar")
DIRECTORY_BYTES = 4096
"""Read from a file's end to find its directory; torch writes about 500 to 1200 bytes."""
END = struct.Struct("<4s4H2LH")
"""The last record of a zip file: mark, 2 disk numbers, 2 counts, directory's bytes, its place, comment."""
ENTRY = struct.Struct("<4s6H3L5H2L")
"""The fixed part of a directory entry: number 9 is the file's bytes, 10 to 12 the lengths of what follows,
16 the place of the file's own head."""
HEAD_BYTES, HEAD_LENGTHS = 30, struct.Struct("<2H")
"""A file's own head in a zip file ends with the lengths of its name and of its extra field, which follow."""
LARGEST_PICKLE = 1 << 16
"""Bytes of the pickle in a label file, which torch writes in about 700."""
WHOLE_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1")


def batch_path(folder, epoch, number):
    """Where the published layout has batch `number` of `epoch`."""
    return os.path.join(os.fspath(folder), "epoch_{}".format(epoch), "batch_{}.tar".format(number))


class PublishedLabels(Labels):
    """Published labels in `folder`. Epochs count from 0 on up to the first that is missing; whatever else
    lies there does not count (the published trainer counts every entry).

    Opening reads the first and last batch of epoch 0, of which none may be missing; what other files hold is
    refused where it differs.
    """

    def __init__(self, folder):
        folder = os.path.join(os.fspath(folder), "").rstrip(os.sep) or os.sep
        epochs = _numbered(folder, EPOCH)
        if 0 not in epochs:
            raise Refusal(
                "{}: expected labels (a manifest.json, or epoch_0 with batch_0.tar), found none: relabel, or "
                "mend the path".format(folder)
            )
        batches = _batches(folder)
        first_path = batch_path(folder, 0, 0)
        first = _read(first_path)
        size, classes = _shape(first, first_path)
        last_path = batch_path(folder, 0, batches - 1)
        last = _read(last_path)
        count = size * (batches - 1) + _shape(last, last_path)[0]
        dtypes = {dtype: name for name, dtype in DTYPES.items()}
        description = LabelDescription(
            count, size, _leading(epochs), classes, first.mix.kind, dtypes[first.logits.dtype]
        )
        check_batch(first, description, 0, first_path)
        check_batch(last, description, description.batches - 1, last_path)
        super().__init__(folder, description, first_path)

    def epoch_path(self, epoch):
        return os.path.join(self.folder, "epoch_{}".format(epoch))

    @property
    def digest(self):
        files = []
        for epoch in range(self.epochs):
            for number in range(self.batches):
                path = batch_path(self.folder, epoch, number)
                if not os.path.isfile(path):
                    raise Refusal("{}: missing: copy it again, or relabel".format(path))
                files.append([epoch, number, os.path.getsize(path)])
        return recipe_digest(files)

    def load(self, epoch, number):
        path = batch_path(self.folder, epoch, number)
        batch = _read(path)
        check_batch(batch, self.description, number, path)
        return batch

    def check_files(self, epochs):
        usual = outline(batch_path(self.folder, 0, 0))  # which opening has read
        for epoch in range(epochs):
            for number in range(self.batches):
                self._check_file(epoch, number, usual)

    def _check_file(self, epoch, number, usual):
        """By sizes and steps of its Outline; a file that has not the usual ones is loaded and judged."""
        rows = self.description.rows(number)
        sizes = [16 * rows, rows, 8 * rows, rows * self.classes * (2 if self.dtype == "float16" else 4)]
        if self.mix == "none":
            del sizes[2]
        if usual is None or outline(batch_path(self.folder, epoch, number)) != Outline(sizes, usual.steps):
            self.load(epoch, number)


def write_batch(folder, epoch, number, batch):
    """Write a LabelBatch in the published layout, whole or not at all; its `indices` are not stored there."""
    path = batch_path(folder, epoch, number)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    mix = batch.mix
    content = [
        batch.coords.clone(),  # a view would be stored with all that it is a view of
        batch.flips.clone(),
        None if mix.order is None else mix.order.clone(),
        None if mix.share is None else float(mix.share),
        None if mix.box is None else [int(edge) for edge in mix.box],
        batch.logits.clone(),
    ]
    with replacing(path) as file:
        torch.save(content, file)


class Outline(NamedTuple):
    """What a torch file's directory and its pickle say of it; neither a tensor nor code is loaded."""

    sizes: list
    """Bytes of each tensor, in order."""
    steps: list
    """(operation, global or None) of the pickle, whatever its numbers and strings are; two label files with
    equal steps hold the same kinds of entries, and ask for the same globals."""


def outline(path):
    """The Outline of the torch file at `path`, or None where it has not the usual form."""
    try:
        file_size(path)
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - DIRECTORY_BYTES)
            file.seek(start)
            tail = file.read()
            end = END.unpack(tail[-END.size :])
            if end[0] != b"PK\x05\x06" or end[6] < start:
                return None
            sizes, at, steps = {}, end[6] - start, None
            for _ in range(end[4]):
                entry = ENTRY.unpack_from(tail, at)
                at += ENTRY.size
                name = tail[at : at + entry[10]].decode("utf-8").split("/", 1)[-1]
                if name.startswith("data/"):
                    sizes[int(name[len("data/") :])] = entry[9]
                elif name == "data.pkl":
                    if entry[9] > LARGEST_PICKLE:
                        return None
                    steps = _steps(_stored(file, entry[16], entry[9]))
                at += sum(entry[10:13])
    except (OSError, ValueError, struct.error, LookupError, ArithmeticError):
        return None
    return None if steps is None else Outline([sizes[number] for number in sorted(sizes)], steps)


def _stored(file, place, size):
    """The bytes of an uncompressed entry of a zip file whose own head is at `place`."""
    file.seek(place)
    lengths = HEAD_LENGTHS.unpack_from(file.read(HEAD_BYTES), HEAD_BYTES - HEAD_LENGTHS.size)
    file.seek(sum(lengths), os.SEEK_CUR)
    return file.read(size)


def _steps(pickled):
    """The steps of an Outline; None for a pickle that names its globals by strings."""
    steps = []
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name == "STACK_GLOBAL":
            return None
        name = "INT" if operation.name in WHOLE_NUMBERS else operation.name
        steps.append((name, argument if name in ("GLOBAL", "INST") else None))
    return steps


def _batches(folder):
    """Batches of epoch 0 by the highest number there, at least 1; Refusal, naming it, where one is missing
    in between."""
    numbers = _numbered(os.path.join(folder, "epoch_0"), BATCH)
    batches = max(numbers, default=0) + 1
    missing = _leading(numbers)
    if numbers and missing < batches:
        raise Refusal(
            "{}: missing, though batch_{}.tar is there: copy it again, or relabel".format(
                batch_path(folder, 0, missing), batches - 1
            )
        )
    return batches


def _read(path):
    """A LabelBatch as the file holds it: the kinds of its entries are checked, not their sizes."""
    content = safe_load(path)
    if not isinstance(content, (list, tuple)) or len(content) != ENTRIES:
        raise Refusal(
            "{}: expected a list of {} entries (crops, flips, permutation, share, box, logits), found {}: "
            "these are not labels".format(
                path,
                ENTRIES,
                len(content) if isinstance(content, (list, tuple)) else type(content).__name__,
            )
        )
    coords, flips, order, share, box, logits = content
    return LabelBatch(None, coords, flips, _mix(order, share, box, path), logits)


def _mix(order, share, box, path):
    try:
        if order is None:
            return NONE
        if box is None:
            return MixDraw("mixup", order, float(share))
        top, left, bottom, right = (int(edge) for edge in box)
        return MixDraw("cutmix", order, float(share), (top, left, bottom, right))
    except (TypeError, ValueError, OverflowError) as error:
        raise Refusal(
            "{}: expected a share and, for CutMix, a box of four numbers, found {} and {}: "
            "relabel".format(path, brief(share), brief(box))
        ) from error


def _shape(batch, path):
    """(rows, classes) of a batch."""
    shape = tuple(getattr(batch.logits, "shape", ()))
    if len(shape) != 2 or 0 in shape or batch.logits.dtype not in DTYPES.values():
        raise Refusal(
            "{}: expected logits (rows, classes) in float16 or float32, found {}: these are not "
            "labels".format(path, getattr(batch.logits, "dtype", type(batch.logits).__name__))
        )
    return shape


def _numbered(folder, pattern):
    """The numbers in the names in `folder` that match `pattern` as a whole."""
    try:
        found = (pattern.fullmatch(name) for name in os.listdir(folder))
        return {int(match.group(1)) for match in found if match}
    except NotADirectoryError:
        return set()


def _leading(numbers):
    """How many of 0, 1, 2, … are in `numbers` before the first that is not."""
    return next(number for number in range(len(numbers) + 1) if number not in numbers)
