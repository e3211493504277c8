"""torchvision 0.8.2's RandomResizedCrop on Pillow images."""

from __future__ import annotations

import math

from PIL import Image

from encore.data.augment.gates import as_float32
from encore.data.augment.resample import resize

TRIES = 10
"""How often a box is drawn before the centre crop is taken (torchvision 0.8.2)."""


class RandomResizedCrop:
    """Cut a random box and scale it to `size` x `size` pixels, bilinear.

    `scale`: range of the box's share of the area; `ratio`: range of width / height, log-uniform in float32.
    Logarithm and exponential are the correctly rounded float32 ones: torch's depend on processor and build
    in the last digit (its log of 3/4 does), the outputs of the published code have the correctly rounded
    values.
    """

    def __init__(self, size, scale=(0.2, 1), ratio=(3.0 / 4.0, 4.0 / 3.0)):
        self.size = (size, size)
        self.scale = tuple(scale)
        self.ratio = tuple(ratio)
        self.log_ratio = tuple(as_float32(math.log(as_float32(bound))) for bound in self.ratio)

    def box(self, size, draws):
        """The box (left, top, right, bottom) in pixels for a picture of `size` (width, height)."""
        width, height = size
        area = height * width
        for _ in range(TRIES):
            target_area = area * draws.uniform_(*self.scale)
            aspect = as_float32(math.exp(draws.uniform_(*self.log_ratio)))
            w = int(round(math.sqrt(target_area * aspect)))
            h = int(round(math.sqrt(target_area / aspect)))
            if 0 < w <= width and 0 < h <= height:
                top = draws.torch_randint(0, height - h + 1)
                left = draws.torch_randint(0, width - w + 1)
                return left, top, left + w, top + h
        return self.centre_box(size)

    def centre_box(self, size):
        """The box that is taken when no drawn box fits: the largest centred one with an allowed ratio."""
        width, height = size
        w, h = width, height
        if width / height < min(self.ratio):
            h = int(round(w / min(self.ratio)))
        elif width / height > max(self.ratio):
            w = int(round(h * max(self.ratio)))
        left, top = (width - w) // 2, (height - h) // 2
        return left, top, left + w, top + h

    def __call__(self, image, draws):
        return resize(image.crop(self.box(image.size, draws)), self.size, Image.BILINEAR)
