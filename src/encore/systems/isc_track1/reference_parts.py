"""References divided into 19 parts each, cut on the fly (spec isc-track1-test 1.2).

The published run writes 19,000,000 JPEG files of quality 100 and reads them once; here a part passes the same
encoder and decoder in memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from encore.data.images import RejectedImage, decode_image
from encore.systems.isc.generation import JPEG_MODES, jpeg
from encore.systems.isc_track1.query_boxes import centre_box, overlap_boxes

PARTS = 19
QUALITY = 100
REFERENCE_FOLDER = "reference_images_exp_{}"
"""Published folder of all parts of one number."""


def reference_boxes(width, height):
    """The boxes of the 19 parts (left, upper, right, lower): whole, 2 x 2, centre, 3 x 3, 4 overlapping."""
    halves = [(0, side // 2, side) for side in (width, height)]
    thirds = [(0, int(side * 1 / 3), int(side * 2 / 3), side) for side in (width, height)]
    boxes = [(0, 0, width, height)] + _grid(*halves) + [centre_box(width, height)] + _grid(*thirds)
    return boxes + overlap_boxes(width, height)


def part_name(name, part):
    """R000123.jpg, 7 -> R000123_7.jpg; the last 4 characters count as the extension, as published."""
    return "{}_{}.jpg".format(name[:-4], part)


def _grid(x, y):
    """The cells between the lines `x` and `y`, row by row."""
    return [(x[i], y[j], x[i + 1], y[j + 1]) for j in range(len(y) - 1) for i in range(len(x) - 1)]


class PartNames(Sequence):
    """The file names of all parts, reference by reference, without holding them."""

    def __init__(self, names):
        self._names = names

    def __len__(self):
        return PARTS * len(self._names)

    def __getitem__(self, row):
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        row = range(len(self))[row]
        return part_name(self._names[row // PARTS], row % PARTS)


class ReferenceParts:
    """All parts of the references in the picture source `source`: row 19 * i + k is part k of reference i.

    With `jpeg_roundtrip` a part is what the published JPEG file of quality 100 decodes to; without, the bare
    crop. An image source (`names`, `read`, `len`) that also hands out decoded pictures (`pictures`).
    """

    group = PARTS

    def __init__(self, source, jpeg_roundtrip=True):
        self.source, self.jpeg_roundtrip = source, jpeg_roundtrip
        self.names = PartNames(source.names)

    def __len__(self):
        return len(self.names)

    def read(self, row):
        """The published JPEG file of part `row` as bytes; raises RejectedImage where there is none."""
        reference, part = divmod(range(len(self))[row], PARTS)
        return part_file(decode_image(self.source.read(reference)), part)

    def pictures(self, rows):
        """Yield (row, picture) for each of `rows`: a PIL image, or a RejectedImage that says why there is
        none.

        A reference is read and decoded once for the rows of it that follow one another.
        """
        current, whole = None, None
        for row in rows:
            reference, part = divmod(row, PARTS)
            if reference != current:
                current, whole = reference, self._decoded(reference)
            yield row, whole if isinstance(whole, RejectedImage) else self._part(whole, part)

    def _decoded(self, reference):
        try:
            return decode_image(self.source.read(reference))
        except RejectedImage as rejected:
            return rejected

    def _part(self, whole, part):
        try:
            if self.jpeg_roundtrip:
                return decode_image(part_file(whole, part))
            return cut(whole, reference_boxes(*whole.size)[part])
        except RejectedImage as rejected:
            return rejected


def part_file(whole, part):
    """Part `part` of the decoded reference `whole` as the bytes of its published JPEG file."""
    if whole.mode not in JPEG_MODES:
        raise RejectedImage(
            "mode {} cannot be written as JPEG: the published run stops here".format(whole.mode)
        )
    return jpeg(cut(whole, reference_boxes(*whole.size)[part]), QUALITY)


def cut(image, box):
    """The crop of `image` to `box`, without the file's metadata; raises RejectedImage for an empty one."""
    if box[0] >= box[2] or box[1] >= box[3]:
        raise RejectedImage(
            "the crop {} of {} x {} pixels is empty: the published run stops here".format(box, *image.size)
        )
    return image.crop(box)
