"""Random crops: drawn, stored as fractions of the picture, found again, and cut out."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from encore.data.augment.resample import resize
from encore.runtime.refusal import Refusal

RATIO = (3 / 4, 4 / 3)
"""Width to height of a crop, drawn evenly on the logarithm (torchvision's default, published)."""
ATTEMPTS = 10
"""Crops drawn before the largest central one is taken (torchvision)."""


class CropBox(NamedTuple):
    """A crop in whole pixels of the picture."""

    top: int
    left: int
    height: int
    width: int


def draw_crop(height, width, scale, generator):
    """CropBox of a picture of `height` x `width` pixels, with the draws of torchvision 0.15 in their order.

    scale: (smallest, largest) share of the area. generator: torch.Generator. Up to ten times an area and a
    logarithm of the ratio, then top and left; when none fits, the largest central crop of a permitted ratio.
    """
    low, high = (float(value) for value in torch.log(torch.tensor(RATIO)))
    for _ in range(ATTEMPTS):
        area = height * width * torch.empty(1).uniform_(*scale, generator=generator).item()
        log_ratio = torch.empty(1).uniform_(low, high, generator=generator)
        ratio = torch.exp(log_ratio).item()
        w, h = int(round(math.sqrt(area * ratio))), int(round(math.sqrt(area / ratio)))
        if 0 < w <= width and 0 < h <= height:
            top = torch.randint(0, height - h + 1, (1,), generator=generator).item()
            left = torch.randint(0, width - w + 1, (1,), generator=generator).item()
            return CropBox(top, left, h, w)
    w = min(width, int(round(height * RATIO[1])))
    h = min(height, int(round(width / RATIO[0])))
    return CropBox((height - h) // 2, (width - w) // 2, h, w)


def draw_flip(generator, chance=0.5):
    """Whether the picture is flipped: one draw, after those of the crop."""
    return bool(torch.rand(1, generator=generator) < chance)


def stored(box, height, width):
    """What a label file keeps of a crop of a picture of `height` x `width` pixels: float32 (4,), top and left
    and height and width as fractions of the picture's sides."""
    top, left, h, w = box
    return np.array([top / height, left / width, h / height, w / width], np.float32)


def restored(coords, height, width):
    """The CropBox that `coords` (float32, 4 fractions) stand for, exactly as `stored` took it.

    Fractions times sides miss whole pixels in the last bits, so the edges are rounded: top, left,
    top + height, left + width, which is what Pillow's crop does with the published floats. (Truncation is
    wrong for nearly half of all crops.) Raises ValueError for a box that does not lie within the picture.
    """
    top, left, h, w = (float(value) for value in coords)
    if not all(0 <= value <= 1 for value in (top, left, h, w)):  # NaN too
        raise ValueError("expected a crop as four fractions, found %s" % [top, left, h, w])
    top, left, h, w = top * height, left * width, h * height, w * width
    first, last = round(top), round(top + h)
    start, end = round(left), round(left + w)
    if not (first < last <= height and start < end <= width):
        raise ValueError(
            "the crop from row %d to %d and column %d to %d is none of a picture of %d x %d pixels"
            % (first, last, start, end, height, width)
        )
    return CropBox(first, start, last - first, end - start)


def cropped(image, box, flip, size, out):
    """Cut `box` out of a PIL RGB image, resize it to `size` x `size` with Pillow's bilinear filter, flip it
    left to right if `flip`, and write it into `out`, uint8 (3, size, size).

    Crop first, then resize (torchvision's way with PIL images): the filter sees no pixel beyond the box. The
    pixels are those of Pillow 8.3 to 12 on any Pillow.
    """
    top, left, height, width = box
    if (width, height) != image.size:
        image = image.crop((left, top, left + width, top + height))
    if image.size != (size, size):
        image = resize(image, (size, size), Image.BILINEAR)
    pixels = np.asarray(image)
    if flip:
        pixels = pixels[:, ::-1]
    out[...] = pixels.transpose(2, 0, 1)


def check_scale(scale, where):
    """Raises Refusal unless `scale` is (smallest, largest) with 0 < smallest <= largest <= 1."""
    low, high = scale
    if not 0 < low <= high <= 1:
        raise Refusal(
            "%s: expected shares of the area with 0 < smallest <= largest <= 1, found %g and %g"
            % (where, low, high)
        )
