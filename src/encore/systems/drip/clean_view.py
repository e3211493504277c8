"""The clean view of a picture and the numbers that the network gets (spec drip 2 and 3.4)."""

from __future__ import annotations

import numpy as np

from encore.data.augment.resample import resize

VIEW_SIZE = 160

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_DEVIATION = (58.395, 57.120, 57.375)
"""RGB, of values from 0 to 255."""

NORMALISATIONS = ("imagenet", "simple", "centered")


def clean_view(image, size=VIEW_SIZE):
    """A PIL image as uint8 (size, size) or (size, size, channels), in its own mode.

    The aspect ratio is not kept. Bicubic with antialiasing, the same on every Pillow: the resize of AugLy up
    to 0.1.10, which made every published descriptor (0.2.1 and later are bilinear). Augmented queries are
    resized otherwise, by OpenCV.
    """
    return np.asarray(resize(image, (size, size)))


def three_channels(pixels):
    """(h, w) or (h, w, channels) -> (h, w, 3), same dtype: one channel thrice, of more than 3 the first 3.

    Published quirk: a CMYK picture gives C, M, Y as RGB, and an alpha channel is cut off. ValueError for two
    channels (published: an error too) and for another number of axes.
    """
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] in (0, 2):
        raise ValueError(
            "expected (height, width) or (height, width, 1, 3 or more channels), found {}".format(
                pixels.shape
            )
        )
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels[:, :, :3]


def normalised(pixels, mode="imagenet"):
    """A view, values 0 to 255 in any channels that `three_channels` takes -> contiguous float32 (3, h, w).

    mode: "imagenet", (x - mean) * (1 / deviation) in float32, what all published models use; "simple",
    x / 255; "centered", x / 127.5 - 1. ValueError for another.
    """
    values = three_channels(pixels).astype(np.float32)
    if mode == "imagenet":
        values -= np.array(IMAGENET_MEAN, dtype=np.float32)
        values *= np.reciprocal(np.array(IMAGENET_DEVIATION, dtype=np.float32))
    elif mode == "simple":
        values /= np.float32(255)
    elif mode == "centered":
        values = values / np.float32(127.5) - np.float32(1)
    else:
        raise ValueError("expected a mode of {}, found {!r}".format(", ".join(NORMALISATIONS), mode))
    return np.ascontiguousarray(values.transpose(2, 0, 1))
