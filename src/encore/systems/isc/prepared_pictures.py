"""Pictures ready for the network, read batch by batch: decoded, blurred or made grey, and resized."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from encore.data.images import RejectedImage, decode_image
from encore.data.loader_processes import as_it_is, loader

BLUR_RADIUS = 5
"""Of Pillow's GaussianBlur, at the picture's own size (spec isc-track1-test 2.1)."""


class Preparation(NamedTuple):
    """What is done to a picture of any size and mode, in this order: RGB, blur, grey, resize."""

    size: int
    """Side in pixels of the square it is resized to, by Pillow's bicubic filter."""
    blurred: bool = False
    grey: bool = False
    """The luma in all three channels."""

    def __call__(self, image):
        """uint8 (3, size, size) of a PIL image; RejectedImage where its mode does not become RGB."""
        from PIL import ImageFilter

        from encore.data.augment.colour import grayscale
        from encore.data.augment.resample import resize

        try:
            image = image.convert("RGB")
        except ValueError as error:
            raise RejectedImage("no conversion from mode {} to RGB".format(image.mode)) from error
        if self.blurred:
            image = image.filter(ImageFilter.GaussianBlur(radius=BLUR_RADIUS))
        if self.grey:
            image = grayscale(image)
        image = resize(image, (self.size, self.size))
        return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))


class Portion(NamedTuple):
    """Some rows in order, the pictures of those that could be read (uint8 (k, 3, size, size)), and for each
    row why it could not be (None: it could)."""

    rows: list
    pictures: torch.Tensor
    reasons: list

    def split(self, count):
        """The first `count` rows and the others, as two portions."""
        readable = sum(reason is None for reason in self.reasons[:count])
        return (
            Portion(self.rows[:count], self.pictures[:readable], self.reasons[:count]),
            Portion(self.rows[count:], self.pictures[readable:], self.reasons[count:]),
        )


class PictureReader:
    """Reads pictures in `workers` processes (0: in this one); the result does not depend on how many.

    A source has `names`, `read(i) -> bytes` and a length; or, in place of `read`, `pictures(rows)`, which
    yields (row, PIL image or RejectedImage) and decodes something once for `group` consecutive rows. The
    prepared pictures of sources that fit in `keep_bytes` in all are kept in memory for the next model.
    """

    def __init__(self, workers=0, keep_bytes=0):
        self.workers = workers
        self._room = keep_bytes
        self._kept = {}

    def __getstate__(self):
        # a process that was sent a part of the work reads that part only
        return {"workers": self.workers, "_room": 0, "_kept": {}}

    def batches(self, images, rows, preparation, batch, portion):
        """Yield (rows read, their pictures as uint8 parts, [(row, reason)]) for every `batch` of `rows`.

        portion: most pictures that a process hands over at a time, but for a source in groups one group.
        """
        portions = self._kept_portions(images, rows, preparation, batch, portion)
        if portions is None:
            portions = self._portions(images, rows, preparation, portion)
        for parts in joined(portions, batch):
            together = [(row, reason) for part in parts for row, reason in zip(part.rows, part.reasons)]
            yield (
                [row for row, reason in together if reason is None],
                [part.pictures for part in parts if len(part.pictures)],
                [(row, reason) for row, reason in together if reason is not None],
            )

    def _portions(self, images, rows, preparation, portion):
        portions = _Portions(images, rows, preparation, cuts(rows, portion, getattr(images, "group", 1)))
        return loader(portions, range(len(portions)), self.workers, collate_fn=as_it_is)

    def _kept_portions(self, images, rows, preparation, batch, portion):
        """The portions of `rows` from memory; None where the pictures of `images` do not fit in it."""
        key = (id(images), preparation)
        if key not in self._kept:
            size = 3 * preparation.size**2 * len(images)
            if size > self._room:
                return None
            self._room -= size
            whole = list(self._portions(images, range(len(images)), preparation, portion))
            reasons = [reason for part in whole for reason in part.reasons]
            places = np.cumsum([reason is None for reason in reasons]) - 1
            pictures = torch.cat([part.pictures for part in whole]) if whole else None
            self._kept[key] = (images, places, reasons, pictures)  # holds images: its id stays its own
        return self._from_memory(self._kept[key], rows, batch)

    @staticmethod
    def _from_memory(kept, rows, batch):
        _, places, reasons, pictures = kept
        for first in range(0, len(rows), batch):
            taken = [int(row) for row in rows[first : first + batch]]
            readable = [int(places[row]) for row in taken if reasons[row] is None]
            yield Portion(taken, pictures[readable], [reasons[row] for row in taken])


def joined(portions, batch):
    """Lists of portions, or of parts of them, that hold exactly `batch` rows each; the last holds the
    rest."""
    held, count = [], 0
    for portion in portions:
        while count + len(portion.rows) >= batch:
            first, portion = portion.split(batch - count)
            yield held + [first]
            held, count = [], 0
        if portion.rows:
            held.append(portion)
            count += len(portion.rows)
    if held:
        yield held


def cuts(rows, portion, group=1):
    """Positions in `rows` where portions begin, and the end: at most `portion` rows each.

    With group > 1, consecutive rows are cut between groups only (rows i * group ... i * group + group - 1
    belong together), so that nothing is decoded twice, and a portion holds one group at least.
    """
    step = max(portion // group, 1) * group
    ahead = rows[0] % group if group > 1 and len(rows) else 0
    return [0] + list(range(step - ahead, len(rows), step)) + [len(rows)]


class _Portions(torch.utils.data.Dataset):
    def __init__(self, images, rows, preparation, cuts):
        self.images, self.rows, self.preparation, self.cuts = images, rows, preparation, cuts

    def __len__(self):
        return len(self.cuts) - 1

    def __getitem__(self, number):
        rows = [int(row) for row in self.rows[self.cuts[number] : self.cuts[number + 1]]]
        pictures, reasons = [], []
        for image in _opened(self.images, rows):
            try:
                if isinstance(image, RejectedImage):
                    raise image
                pictures.append(self.preparation(image))
                reasons.append(None)
            except RejectedImage as rejected:
                reasons.append(rejected.reason)
        if len(reasons) != len(rows):
            raise ValueError("expected {} pictures of the source, found {}".format(len(rows), len(reasons)))
        side = self.preparation.size
        stacked = np.stack(pictures) if pictures else np.zeros((0, 3, side, side), dtype=np.uint8)
        return Portion(rows, torch.from_numpy(stacked), reasons)


def _opened(images, rows):
    """The PIL image of every row, or the RejectedImage that says why there is none."""
    if hasattr(images, "pictures"):
        for expected, (row, image) in zip(rows, images.pictures(rows)):
            if row != expected:
                raise ValueError("expected the picture of row {}, found that of row {}".format(expected, row))
            yield image
        return
    for row in rows:
        try:
            yield decode_image(images.read(row))
        except RejectedImage as rejected:
            yield rejected
