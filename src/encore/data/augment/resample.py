"""Pillow's resize with the same pixels on every Pillow."""

from __future__ import annotations

from PIL import Image

_PREMULTIPLIED = {"RGBA": "RGBa", "LA": "La"}


def resize(image, size, resample=Image.BICUBIC):
    """`image.resize(size, resample)` as Pillow 8.3.2 computes it, bit for bit; returns a new image.

    size: (width, height) in pixels; a side below 1 raises ValueError. Palette and bilevel pictures are
    always scaled with NEAREST (Pillow's rule). Pillow rounds to 8 bits between its horizontal and its
    vertical pass; up to 12 the horizontal one comes first, Pillow 13 goes by cost, which changes pixels.
    Here the order is fixed.
    """
    width, height = size
    if width == image.width or height >= image.height or width < 1 or image.mode in ("1", "P"):
        return image.resize(size, resample)
    premultiplied = _PREMULTIPLIED.get(image.mode)
    if premultiplied is None:
        return image.resize((width, image.height), resample).resize(size, resample)
    flat = image.convert(premultiplied)
    return flat.resize((width, image.height), resample).resize(size, resample).convert(image.mode)
