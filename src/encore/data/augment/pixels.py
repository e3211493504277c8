"""AugLy's pixelization, shuffle_pixels and pad on Pillow images (AugLy 0.1.4)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

from encore.data.augment.resample import resize

SHUFFLE_SEED = 10
"""AugLy's default seed: every call shuffles with it, so masks are always the same for one picture size."""


def pixelization(image, ratio):
    """Scale the picture down by `ratio` and back, with Pillow's default filter.

    A ratio that leaves no pixel on a side raises ValueError, as published.
    """
    width, height = image.size
    return resize(resize(image, (int(width * ratio), int(height * ratio))), (width, height))


def shuffle_pixels(image, factor, seed=SHUFFLE_SEED):
    """Exchange a `factor` (0 to 1) of all pixels among themselves; the same ones for the same size and
    factor.

    numpy's global generator is neither read nor changed: AugLy seeds it at every call, which is the same as
    RandomState(seed). A one-pixel-wide picture comes back squeezed (published quirk), CMYK as RGBA.
    """
    if factor == 0.0:
        return image
    count = image.width * image.height
    return _exchanged(image, *shuffled_positions(count, int(factor * count), seed))


def shuffle_pixels_as_seeded(image, factor, seed, generator):
    """AugLy 0.1.10's shuffle_pixels: the same pixels, another seed at every call, the mode restored.

    generator: a numpy RandomState that stands for numpy's global one; it is seeded and left as AugLy leaves
    that (published: every call re-seeds numpy's global generator).
    """
    generator.seed(seed)
    if factor == 0.0:
        return image
    count = image.width * image.height
    to = generator.permutation(count)[: int(factor * count)]
    order = np.arange(len(to))
    generator.shuffle(order)
    result = _exchanged(image, to, to[order])
    return result if result.mode == image.mode else result.convert(image.mode)


def _exchanged(image, to, source):
    """The picture with pixels `source` (positions, row by row) written to the positions `to`."""
    pixels = np.array(image)
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(int)
    count = pixels.shape[0] * pixels.shape[1]
    # One opaque item a pixel: numpy moves those several times faster than rows of channels.
    items = pixels.reshape(count, -1).view("V{}".format(pixels.nbytes // count)).reshape(count)
    items[to] = items[source]
    # The squeeze is AugLy's: it also drops a height or width of one.
    return Image.fromarray(np.squeeze(pixels).astype(np.uint8, copy=False))


def shuffled_positions(count, chosen, seed=SHUFFLE_SEED):
    """Which of `count` pixels are overwritten, and by which: two int arrays (chosen,).

    Equal to `choice(count, chosen, replace=False)` and then `shuffle` of the chosen rows, both from
    RandomState(seed): without replacement, numpy's `choice` is the start of one permutation of all pixels,
    and a shuffle of rows draws the same as a shuffle of their numbers.
    """
    permutation, state = _permutation(count, seed)
    generator = np.random.RandomState(0)
    generator.set_state(state)
    order = np.arange(chosen)
    generator.shuffle(order)
    to = permutation[:chosen]
    return to, to[order]


@lru_cache(maxsize=8)
def _permutation(count, seed):
    """RandomState(seed)'s permutation of `count` and the generator's state after it."""
    generator = np.random.RandomState(seed)
    permutation = generator.permutation(count)
    permutation.setflags(write=False)
    return permutation, generator.get_state()


def pad_to_square(image, color):
    """AugLy's pad_square: pad the shorter side on both ends; an odd difference may leave one pixel."""
    return pad(image, *square_factors(image.size), color)


def square_factors(size):
    """The (w_factor, h_factor) of `pad` that make a picture of `size` square."""
    width, height = size
    if width < height:
        return (height - width) / (2 * width), 0
    return 0, (width - height) / (2 * height)


def padded_size(size, w_factor, h_factor):
    """(width, height) of what `pad` returns for a picture of `size`."""
    width, height = size
    return width + 2 * int(w_factor * width), height + 2 * int(h_factor * height)


def pad(image, w_factor, h_factor, color):
    """Add int(factor x side) pixels of an RGB `color` on both sides of each direction; returns mode RGB."""
    width, height = image.size
    left, top = int(w_factor * width), int(h_factor * height)
    padded = Image.new("RGB", (width + 2 * left, height + 2 * top), tuple(color))
    padded.paste(image, (left, top))
    return padded
