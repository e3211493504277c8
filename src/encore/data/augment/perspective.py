"""AugLy's perspective_transform on Pillow images (AugLy 0.1.4)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

CORNER_SEED = 42
"""AugLy's default seed: the corners always move in the same directions, only sigma scales the move."""


def perspective_transform(image, sigma, seed=CORNER_SEED):
    """Move the four corners by sigma (pixels) x a fixed normal noise; bicubic, black outside, same size."""
    return image.transform(
        image.size, Image.PERSPECTIVE, perspective_coefficients(image.size, sigma, seed), Image.BICUBIC
    )


def perspective_coefficients(size, sigma, seed=CORNER_SEED):
    """The 8 coefficients that Pillow's PERSPECTIVE takes, for a picture of `size` (width, height), as floats.

    Least squares by the normal equations with an explicit inverse, as published: a solver would be more
    accurate, but the last digits decide single pixels.
    """
    width, height = size
    source = [(0, 0), (width, 0), (width, height), (0, height)]
    rows = []
    for (x, y), (x_noise, y_noise) in zip(source, _corner_noise(seed)):
        to_x, to_y = x + sigma * x_noise + 0.0, y + sigma * y_noise + 0.0
        rows.append([to_x, to_y, 1, 0, 0, 0, -x * to_x, -x * to_y])
        rows.append([0, 0, 0, to_x, to_y, 1, -y * to_x, -y * to_y])
    a = np.array(rows, dtype=np.float64)
    b = np.array(source).reshape(8)
    return np.linalg.inv(a.T.dot(a)).dot(a.T).dot(b).tolist()


@lru_cache(maxsize=8)
def _corner_noise(seed):
    """Four (x, y) pairs of unit normal noise from RandomState(seed), in the order that AugLy draws them."""
    noise = np.random.RandomState(seed).normal(size=8).tolist()
    return tuple(zip(noise[0::2], noise[1::2]))
