"""AugLy's perspective_transform on Pillow images (0.1.4 and 0.1.10 are equal)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

CORNER_SEED = 42
"""AugLy's default seed: the corners always move in the same directions, only sigma scales the move."""


def perspective_transform(image, sigma, seed=CORNER_SEED, size=None):
    """Move the four corners by sigma (pixels) x a fixed normal noise; bicubic, black outside.

    size: (width, height) of the part from the top left corner that is computed (default: all of it).
    """
    coefficients = perspective_coefficients(image.size, sigma, seed)
    return image.transform(size or image.size, Image.PERSPECTIVE, coefficients, Image.BICUBIC)


def box_without_border(size, sigma, seed=CORNER_SEED):
    """The box (left, top, right, bottom) that AugLy keeps when it crops out the black border, or None.

    The largest upright box that the moved corners leave free in each direction, rounded as Pillow's crop
    does; None where nothing is left: AugLy raises there.
    """
    width, height = size
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = _moved_corners(size, sigma, seed)
    left, right = max(0, x0, x3), min(width, x1, x2)
    top, bottom = max(0, y0, y1), min(height, y3, y2)
    if left >= right or top >= bottom:
        return None
    return round(left), round(top), round(right), round(bottom)


def perspective_coefficients(size, sigma, seed=CORNER_SEED):
    """The 8 coefficients that Pillow's PERSPECTIVE takes, for a picture of `size` (width, height), as floats.

    Least squares by the normal equations with an explicit inverse, as published: a solver would be more
    accurate, but the last digits decide single pixels.
    """
    source = _corners(size)
    rows = []
    for (x, y), (to_x, to_y) in zip(source, _moved_corners(size, sigma, seed)):
        rows.append([to_x, to_y, 1, 0, 0, 0, -x * to_x, -x * to_y])
        rows.append([0, 0, 0, to_x, to_y, 1, -y * to_x, -y * to_y])
    a = np.array(rows, dtype=np.float64)
    b = np.array(source).reshape(8)
    return np.linalg.inv(a.T.dot(a)).dot(a.T).dot(b).tolist()


def _corners(size):
    width, height = size
    return [(0, 0), (width, 0), (width, height), (0, height)]


def _moved_corners(size, sigma, seed):
    """Where the corners top left, top right, bottom right and bottom left go: four (x, y)."""
    return [
        (x + sigma * x_noise + 0.0, y + sigma * y_noise + 0.0)
        for (x, y), (x_noise, y_noise) in zip(_corners(size), _corner_noise(seed))
    ]


@lru_cache(maxsize=2048)
def _corner_noise(seed):
    """Four (x, y) pairs of unit normal noise from RandomState(seed), in the order that AugLy draws them."""
    noise = np.random.RandomState(seed).normal(size=8).tolist()
    return tuple(zip(noise[0::2], noise[1::2]))
