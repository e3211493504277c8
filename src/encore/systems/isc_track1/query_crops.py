"""The augmented pictures of one query (spec isc-track1-test 1.1).

Suffix 0: the query encoded again; 1 to 3: turned; 4 to 8: boxes that depend on its size; 10 to 999: proposals
of selective search; 1000 and more: detections. All are JPEG files of quality 100 in the query's own mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np
from PIL import Image

from encore.data.images import RejectedImage, decode_image
from encore.detection.greedy_nms import greedy_nms
from encore.detection.overlay_crops import detection_crops
from encore.detection.published_order import equal_scores_order, set_order
from encore.detection.selective_search import selective_search
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.systems.isc.generation import JPEG_MODES, jpeg
from encore.systems.isc_track1.query_boxes import FIRST_DETECTION, FIRST_PROPOSAL, query_boxes

QUALITY = 100
ROTATIONS = {1: Image.ROTATE_90, 2: Image.ROTATE_180, 3: Image.ROTATE_270}
"""Suffix and Pillow's transposition, counter-clockwise."""


@dataclass(frozen=True)
class ProposalParameters:
    """Selective search, and which of its regions become crops; the defaults are the published values."""

    scale: float = limited(500.0, low=0)
    sigma: float = limited(0.9, low=0)
    min_size: int = limited(10, low=0)
    least: int = limited(2000, low=1)
    """pixels of the smallest region"""
    aspect: float = limited(2.0, low=1)
    """most that one side of the box may be of the other"""
    overlap: float = limited(0.5, low=0, high=1)
    """intersection over union above which the later of two boxes is dropped"""
    most: Optional[int] = limited(None, low=0, high=FIRST_DETECTION - FIRST_PROPOSAL)
    """proposals of one query; null: all"""
    to_rgb: bool = limited(False)
    """whether a picture of another mode is converted for the search; published: no, the run stops"""


@dataclass(frozen=True)
class AugmentedPicture:
    """One augmented picture of a query."""

    name: str
    file: bytes
    size: tuple
    """(width, height) in pixels"""


def augmented_query(name, data, parameters, detections=None, frame=None):
    """The AugmentedPictures of one query, in the string order of their names (_0, _1, _10, _1000, _2).

    name: its file name, whose last 4 characters count as the extension. data: its bytes. parameters:
    ProposalParameters, or None for no proposals. detections: float (n, 6) in a frame of `frame` pixels, or
    None. Raises RejectedImage where the published scripts stop: a picture so small that a crop is empty, one
    that JPEG cannot hold, one without 3 channels (see `to_rgb`); and for a detection of no pixels.
    """
    image = decode_image(data)
    if image.mode not in JPEG_MODES:
        raise RejectedImage(
            "mode {} cannot be written as JPEG: the published run stops here".format(image.mode)
        )
    pictures = fixed_crops(image)
    if parameters is not None:
        for i, box in enumerate(proposal_boxes(image, parameters), FIRST_PROPOSAL):
            pictures[i] = image.crop(box)
    if detections is not None:
        try:
            pictures.update(
                (FIRST_DETECTION + j, crop) for j, crop in detection_crops(image, detections, frame)
            )
        except Refusal as refusal:
            raise RejectedImage(str(refusal)) from refusal
    return [
        AugmentedPicture(augmented_name(name, suffix), jpeg(pictures[suffix], QUALITY), pictures[suffix].size)
        for suffix in sorted(pictures, key=str)
    ]


def augmented_name(name, suffix):
    """Q50000.jpg, 13 -> Q50000_13.jpg."""
    return "{}_{}.jpg".format(name[:-4], suffix)


def fixed_crops(image):
    """{suffix: PIL image} of the suffixes 0 to 8; raises RejectedImage where one of them is empty."""
    pictures = {0: image}
    for suffix, turn in ROTATIONS.items():
        pictures[suffix] = image.transpose(turn)
    for suffix, box in query_boxes(*image.size).items():
        if box[0] >= box[2] or box[1] >= box[3]:
            raise RejectedImage(
                "crop {} of its {} x {} pixels is empty: the published run stops here".format(
                    suffix, *image.size
                )
            )
        pictures[suffix] = image.crop(box)
    return pictures


def proposal_boxes(image, parameters=None):
    """The boxes (left, upper, right, lower) of the proposals of a PIL image in published order.

    Published quirk: right and lower are the last pixel of the region, which the crop leaves out.
    """
    parameters = ProposalParameters() if parameters is None else parameters
    if parameters.to_rgb and image.mode != "RGB":
        image = image.convert("RGB")
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise RejectedImage(
            "mode {}: selective search needs 3 channels, the published run stops here; set "
            "selective_search.to_rgb to convert for the search".format(image.mode)
        )
    regions = selective_search(pixels, parameters.scale, parameters.sigma, parameters.min_size)
    boxes = [
        (x, y, x + width, y + height)
        for x, y, width, height in set_order(candidates(regions, parameters.least, parameters.aspect))
    ]
    # Published quirk: all scores are equal, and the order is that of a set and of an unstable sort.
    kept = greedy_nms(boxes, equal_scores_order(len(boxes))[::-1], parameters.overlap)
    return [boxes[i] for i in kept][: parameters.most]


def candidates(regions, least, aspect):
    """The different rectangles (x, y, width, height) of regions of at least `least` pixels, in their order.

    width, height: last minus first pixel. Left out are those with one side more than `aspect` times the
    other, and those with a side of 0, over which the published script divides.
    """
    kept = {}
    for (x0, y0, x1, y1), size in zip(regions.boxes.tolist(), regions.sizes.tolist()):
        width, height = x1 - x0, y1 - y0
        if size >= least and 0 < width <= aspect * height and 0 < height <= aspect * width:
            kept[(x0, y0, width, height)] = None
    return list(kept)
