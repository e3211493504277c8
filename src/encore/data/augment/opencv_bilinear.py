"""OpenCV's bilinear resize of 8-bit pictures (`cv2.resize`, INTER_LINEAR), bit for bit, without OpenCV."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

COEFFICIENT_SCALE = 2048
"""OpenCV's weights have 11 bits."""
LARGEST_EXACT = 2**22
"""Source x target side below which float32 positions truncate as exact ones do."""


def resize_bilinear(pixels, size):
    """Scale `pixels`, uint8 (height, width) or (height, width, channels), to `size` = (width, height).

    No antialiasing: each result mixes 2 x 2 neighbours only, whatever the scale. OpenCV's integer arithmetic:
    11-bit weights, horizontal sums cut by 4 bits, vertical products cut by 16, two bits rounded at the end.
    Exactly half the size on both sides is the rounded mean of 2 x 2 blocks (OpenCV takes INTER_AREA there).
    Raises ValueError for another dtype or an empty side.
    """
    width, height = size
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or 0 in pixels.shape or min(size) < 1:
        raise ValueError(
            "resize_bilinear takes non-empty uint8 (height, width[, channels]), found {} {} to {}".format(
                pixels.dtype, pixels.shape, size
            )
        )
    from_height, from_width = pixels.shape[:2]
    if (from_width, from_height) == (width, height):
        return pixels
    if (from_width, from_height) == (2 * width, 2 * height):
        return _mean_of_blocks(pixels)
    channels = pixels.size // (from_width * from_height)
    left, right, _, _ = _columns(from_width, width, channels)
    above, below, _, _ = _rows(from_height, height)
    # One opaque item a pixel: numpy gathers those several times faster than rows of channels.
    items = np.ascontiguousarray(pixels).reshape(from_height, -1).view("V{}".format(channels))
    neighbours = [
        items[rows].take(at, axis=1).view(np.uint8) for rows in (above, below) for at in (left, right)
    ]
    return _mixed(neighbours, (from_width, from_height), size).reshape((height, width) + pixels.shape[2:])


def resize_picture(image, size):
    """`resize_bilinear(np.asarray(image), size)` of a Pillow picture, several times faster where it shrinks.

    Pillow's nearest-pixel scaling fetches the 2 x 2 neighbours, so the whole picture never becomes an array.
    """
    width, height = size
    x_scale, y_scale = image.width / width, image.height / height
    shrinks = min(x_scale, y_scale) > 1 and max(image.size) * max(size) < LARGEST_EXACT
    if image.mode not in ("L", "RGB", "CMYK") or not shrinks or (x_scale, y_scale) == (2, 2):
        return resize_bilinear(np.asarray(image), size)
    # Positions are whole numbers of 1 / (2 x target): a quarter of 1 / target decides every truncation.
    x, y = 0.25 / width - 0.5, 0.25 / height - 0.5
    neighbours = [
        np.asarray(image.transform(size, Image.AFFINE, (x_scale, 0, x + side, 0, y_scale, y + down)))
        for down in (0, 1)
        for side in (0, 1)
    ]
    shape = neighbours[0].shape
    return _mixed([one.reshape(height, -1) for one in neighbours], image.size, size).reshape(shape)


def _mixed(neighbours, source, size):
    """The mix of four neighbours, each uint8 (height, width x channels), as one such array.

    neighbours: above left, above right, below left, below right. source: (width, height) they are from.
    """
    above_left, above_right, below_left, below_right = neighbours
    _, _, high, low = _columns(source[0], size[0], above_left.shape[1] // size[0])
    _, _, above_weight, below_weight = _rows(source[1], size[1])
    mixed = _across(above_left, above_right, high, low) * above_weight[:, None]
    below = _across(below_left, below_right, high, low) * below_weight[:, None]
    mixed >>= 16
    below >>= 16
    mixed += below
    mixed += 2
    mixed >>= 2
    return mixed.astype(np.uint8)


def _across(left, right, high, low):
    """(left x (2048 - w) + right x w) >> 4 with w = 16 high + low: this way it stays within 16 bits."""
    left, right = left.astype(np.int16), right.astype(np.int16)
    right -= left
    left *= COEFFICIENT_SCALE >> 4
    left += right * high
    right *= low
    right >>= 4
    left += right
    return left


def _mean_of_blocks(pixels):
    wide = pixels.astype(np.uint16)
    total = wide[0::2, 0::2] + wide[0::2, 1::2] + wide[1::2, 0::2] + wide[1::2, 1::2]
    return ((total + 2) >> 2).astype(np.uint8)


def _positions(source, target):
    """First neighbour (int) and weight of the second (float32) of each of `target` samples of `source`."""
    scale = 1.0 / (float(target) / float(source))
    position = ((np.arange(target) + 0.5) * scale - 0.5).astype(np.float32)
    first = np.floor(position).astype(np.int64)
    return first, position - first.astype(np.float32)


def _weight(fraction):
    """The 11-bit weight of the second neighbour; halves go to the even number. The first has the rest.

    OpenCV rounds both weights apart, which for every size up to thousands of pixels comes to the same.
    """
    return np.rint(fraction * np.float32(COEFFICIENT_SCALE)).astype(np.int16)


@lru_cache(maxsize=1024)
def _columns(source, target, channels):
    """Left and right columns, and the right one's weight // 16 and % 16, repeated for each channel.

    Beyond a border the border column alone counts.
    """
    first, fraction = _positions(source, target)
    outside = (first < 0) | (first >= source - 1)
    first = np.clip(first, 0, source - 1)
    weight = np.repeat(_weight(np.where(outside, np.float32(0), fraction)), channels)
    return first, np.minimum(first + 1, source - 1), weight >> 4, weight & 15


@lru_cache(maxsize=1024)
def _rows(source, target):
    """Rows above and below and their weights: beyond a border the border row takes both weights."""
    first, fraction = _positions(source, target)
    weight = _weight(fraction).astype(np.int32)
    rows = np.clip(first, 0, source - 1), np.clip(first + 1, 0, source - 1)
    return rows + (COEFFICIENT_SCALE - weight, weight)
