"""The crops that the published test makes from a query's detections (spec isc-track1-test 1.1)."""

from __future__ import annotations

from encore.data.augment.resample import resize
from encore.detection.detections import OVERLAY, PUBLISHED_SIZE
from encore.runtime.refusal import Refusal

LEAST_SCORE = 0.01
"""Published; without effect on detections of confidence 0.1 and more."""


def detection_crops(image, detections, size=PUBLISHED_SIZE):
    """[(j, PIL image)] for every row j of `detections` that is an Overlay.

    image: PIL image of any mode. detections: float (n, 6) as `encore.detection.detections` says. size: long
    side of the network's frame in pixels. j counts all rows, so numbers are left out where an Emoji stands.
    Raises Refusal for a box that holds no pixel.

    Published quirk: the letterbox padding is not subtracted, so on the short side the crop lies up to 15
    pixels beside the box; what lies outside the picture is black.
    """
    rows = [j for j, row in enumerate(detections) if row[5] == OVERLAY and row[4] > LEAST_SCORE]
    if not rows:
        return []
    framed = framed_without_padding(image, size)
    return [(j, _crop(framed, detections[j], j)) for j in rows]


def framed_without_padding(image, size):
    """The picture at the scale of the frame: both sides times size over the longer one, truncated, bicubic.

    Published quirk: truncation can leave the long side a pixel short (77x61 becomes 639x507).
    """
    scale = size / max(image.size)
    return resize(image, (int(scale * image.width), int(scale * image.height)))


def _crop(image, row, j):
    box = tuple(round(float(value)) for value in row[:4])  # half to even, as Pillow does
    if box[2] <= box[0] or box[3] <= box[1]:
        raise Refusal(
            "detection {} is a box of {}x{} pixels, of which no crop can be made: remove it".format(
                j, box[2] - box[0], box[3] - box[1]
            )
        )
    return image.crop(box)
