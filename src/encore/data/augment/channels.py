"""Changes of the colour channels of RGB arrays: inverted, exchanged, shifted."""

from __future__ import annotations

import numpy as np


def invert_channels(pixels, red, green, blue):
    """255 - x for the channels that are True; uint8 (height, width, 3); returns a new array."""
    # x ^ 255 is 255 - x for 8 bits; whole rows at a time, numpy is slow where the last axis is short.
    flipped = np.array([255 if on else 0 for on in (red, green, blue)], dtype=np.uint8)
    height, width = pixels.shape[:2]
    return (pixels.reshape(height, -1) ^ np.tile(flipped, width)).reshape(pixels.shape)


def reorder_channels(pixels, order):
    """Channel i of the result is channel order[i]; an index may repeat."""
    return pixels[..., list(order)]


def shift_channels(pixels, rows, columns):
    """Chromatic shift: red moves by (rows, columns), blue by the opposite, green stays; the border is cut.

    uint8 (height, width, 3) to (height - 2 |rows|, width - 2 |columns|, 3). Published: channels are rolled
    around the border, and the cut removes all that was rolled.
    """
    height, width = pixels.shape[:2]
    top, left = abs(rows), abs(columns)
    result = np.empty((height - 2 * top, width - 2 * left, 3), dtype=pixels.dtype)
    for channel, direction in enumerate((1, 0, -1)):
        y, x = top - direction * rows, left - direction * columns
        result[..., channel] = pixels[y : y + result.shape[0], x : x + result.shape[1], channel]
    return result
