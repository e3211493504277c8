"""The crop of overlaid queries before extraction: one picture in, one picture out, pluggable by name.

The published run detects pictures that were pasted on another one and crops to them, one crop a query, and
keeps the original where nothing is found. Which of several it takes is not stated: here the most confident.
"""

from __future__ import annotations

import dataclasses
import os
import shutil

from encore.data.images import RejectedImage, decode_image
from encore.data.shard_writing import Rejected, write_data_set
from encore.data.shards import ShardSet
from encore.detection.detections import OVERLAY, Detections
from encore.detection.overlay_crops import detection_crops
from encore.systems.isc.generation import JPEG_MODES, jpeg
from encore.systems.isc.query_set import GROUND_TRUTH

IMAGES_PER_SHARD = 10000
QUALITY = 100


def keep_original(name, data):
    """The detector `none`: every query stays as it is, byte for byte."""
    return data


class CropToOverlay:
    """The detector `detections`: the most confident Overlay's crop as JPEG, where there is one.

    folder: of the detections, as the stage `detect` writes them. confidence: below it a query stays as it is.
    """

    def __init__(self, folder, confidence):
        self.detections, self.confidence = Detections.open(folder), confidence

    def __call__(self, name, data):
        rows = self.detections.of(name)
        overlays = rows[(rows[:, 5] == OVERLAY) & (rows[:, 4] >= self.confidence)]
        if not len(overlays):
            return data
        crops = detection_crops(decode_image(data), overlays[:1], self.detections.size)
        if not crops:
            return data
        crop = crops[0][1]
        return jpeg(crop if crop.mode in JPEG_MODES else crop.convert("RGB"), QUALITY)


CROPPERS = {
    "none": lambda folder, confidence: keep_original,
    "detections": CropToOverlay,
}
"""Name of a detector -> function (folder of detections, least confidence) -> crop(name, bytes) -> bytes."""


@dataclasses.dataclass(frozen=True)
class CroppedQueries:
    """How many queries there are and how many the detector changed."""

    queries: int
    changed: int


def crop_query_set(queries, folder, crop, digest):
    """Write the data set `queries` to `folder` with `crop(name, bytes) -> bytes` applied, and its ground
    truth.

    Raises Refusal for a query that cannot be read, by name.
    """
    source = ShardSet(queries)
    units = [
        range(start, min(start + IMAGES_PER_SHARD, len(source)))
        for start in range(0, len(source), IMAGES_PER_SHARD)
    ]

    def make_worker():
        return lambda unit: (_cropped(source, i, crop) for i in unit)

    write_data_set(folder, units, make_worker, 1, digest, 0, "crop queries")
    shutil.copyfile(os.path.join(str(queries), GROUND_TRUTH), os.path.join(str(folder), GROUND_TRUTH))
    result = ShardSet(folder)
    changed = sum(source.read(i) != result.read(i) for i in range(len(source)))
    return CroppedQueries(queries=len(source), changed=changed)


def _cropped(source, i, crop):
    try:
        return source.names[i], crop(source.names[i], source.read(i)), int(source.labels[i])
    except RejectedImage as error:
        return Rejected(source.names[i], error.reason)
