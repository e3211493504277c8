"""AugLy 0.1.10's overlay_onto_screenshot on Pillow images: the picture is scaled to the template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from PIL import Image

from encore.data.augment.resample import resize


@dataclass(frozen=True)
class ScreenshotTemplate:
    """A screenshot with a place for a picture."""

    path: str
    """The screenshot's file; it is opened at every use."""
    box: Tuple[int, int, int, int]
    """The place: left, upper, right, lower in pixels of the screenshot."""

    def open(self):
        """The screenshot, not decoded yet; its `size` is known."""
        return Image.open(self.path)


def overlay_onto_screenshot(image, template, box, crop):
    """Paste `image` into `box` of `template`; returns a new picture of the template's size, in image's mode.

    The picture is scaled by the smaller ratio of the sides (LANCZOS down, BILINEAR up), so it fits without
    changing its aspect ratio. What it leaves empty is black on all sides (crop False: black in RGB; True: the
    zero of its mode, which is white for CMYK; published).
    """
    left, upper, right, lower = box
    place = right - left, lower - upper
    source = scale(image, min(place[0] / image.width, place[1] / image.height))
    if crop:
        dx, dy = (source.width - place[0]) // 2, (source.height - place[1]) // 2
        source = source.crop((dx, dy, dx + place[0], dy + place[1]))
    elif source.size != place:
        black = Image.new("RGB", place)
        black.paste(source, ((place[0] - source.width) // 2, (place[1] - source.height) // 2))
        source = black
    result = template.copy()
    result.paste(source, (left, upper))
    return result if result.mode == image.mode else result.convert(image.mode)


def scale(image, factor):
    """AugLy's scale: int(side x factor) pixels, LANCZOS for factors below 1, else BILINEAR."""
    size = int(image.width * factor), int(image.height * factor)
    return resize(image, size, Image.LANCZOS if factor < 1 else Image.BILINEAR)
