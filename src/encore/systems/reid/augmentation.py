"""Training transforms of person re-identification: the steps of both published states in their order."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from encore.data.augment.colour import adjust_brightness, adjust_contrast, adjust_saturation
from encore.data.augment.random_erasing import RandomErasing
from encore.data.augment.resample import resize
from encore.data.training_transform import IMAGENET_MEAN, IMAGENET_STD, normalised

ERASING = RandomErasing()
FLIP = 0.5
JITTER = 0.1
"""Strength of brightness, contrast and saturation each."""
LARGEST_NOISE = 0.5
"""Deviations drawn above it leave the picture as it is."""
STATIC_OFF = (0.5, 0.5, 0.5)
"""Mean and deviation of the channels without `imagenet_static`."""


class Draws(NamedTuple):
    """The random streams of one picture."""

    python: random.Random
    """Of all that torchvision 0.2.1 and the erasing draw."""
    noise: np.random.RandomState

    @classmethod
    def seeded(cls, seed):
        """Both seeded alike; numpy's takes the seed modulo 2^32."""
        return cls(random.Random(seed), np.random.RandomState(seed % 2**32))


class Augmentation:
    """PIL RGB picture -> uint8 (3, height, width), with draws from generators passed in.

    params: ReidParams. S: resize, flip, rotation, erasing. H: resize, zero padding, crop, flip, rotation,
    erasing, colour jitter, Gaussian noise. `height`, `width`: of the result. Published quirks, kept: S has
    jitter of strength zero, which changes nothing; padding without a crop makes the picture larger.
    """

    def __init__(self, params):
        chosen = params.data_augmentation
        self._resized_to = params.img_w, params.img_h
        self.height, self.width = params.img_h, params.img_w
        later = params.state == "H"
        self._static = not later or chosen.imagenet_static
        self._steps = []
        if later:
            self._add_pad_and_crop(chosen)
        if chosen.mirror:
            self._steps.append(flip)
        if chosen.rotation:
            self._steps.append(Rotation(chosen.rotation))
        if chosen.random_erasing:
            self._steps.append(erasing)
        if later and chosen.colour_jitter:
            self._steps.append(jitter)
        if later and chosen.gaussian_noise:
            self._steps.append(gaussian_noise)

    def _add_pad_and_crop(self, chosen):
        if chosen.padding_h > 0 and chosen.padding_w > 0:
            border = chosen.padding_h, chosen.padding_w
            self._steps.append(Padding(*border))
            self.height, self.width = self.height + 2 * border[0], self.width + 2 * border[1]
        if chosen.crop_h > 0 and chosen.crop_w > 0:
            self._steps.append(Crop(chosen.crop_h, chosen.crop_w))
            self.height, self.width = chosen.crop_h, chosen.crop_w

    def __call__(self, image, draws: Draws):
        return self.augmented(self.resized(image), draws)

    def resized(self, image):
        """The part without draws: PIL RGB picture -> uint8 (img_h, img_w, 3)."""
        if image.size != self._resized_to:
            image = resize(image, self._resized_to, Image.BILINEAR)
        return np.asarray(image)

    def augmented(self, pixels, draws: Draws):
        """The part with draws: uint8 (img_h, img_w, 3) -> uint8 (3, height, width)."""
        for step in self._steps:
            pixels = step(pixels, draws)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))

    def normalised(self, pixels):
        """uint8 (n, 3, h, w) -> float32: by ImageNet's statistics, or by 0.5 and 0.5 in H without
        `imagenet_static`."""
        if self._static:
            return normalised(pixels, IMAGENET_MEAN, IMAGENET_STD)
        return normalised(pixels, STATIC_OFF, STATIC_OFF)


class Padding:
    """A black border of `high` rows and `wide` columns on each side; draws nothing."""

    def __init__(self, high, wide):
        self._border = (high, high), (wide, wide), (0, 0)

    def __call__(self, pixels, draws):
        return np.pad(pixels, self._border, "constant")


class Crop:
    """A part of `high` x `wide` pixels at a place drawn uniformly; none is drawn where it is the whole."""

    def __init__(self, high, wide):
        self._size = high, wide

    def __call__(self, pixels, draws):
        room = pixels.shape[0] - self._size[0], pixels.shape[1] - self._size[1]
        if room == (0, 0):
            return pixels
        top, left = draws.python.randint(0, room[0]), draws.python.randint(0, room[1])
        return pixels[top : top + self._size[0], left : left + self._size[1]]


def flip(pixels, draws):
    """Left and right change places in half the pictures."""
    return pixels[:, ::-1] if draws.python.random() < FLIP else pixels


class Rotation:
    """A turn about the centre by up to `degrees` each way: nearest pixel, same size, black corners."""

    def __init__(self, degrees):
        self._degrees = degrees

    def __call__(self, pixels, draws):
        angle = draws.python.uniform(-self._degrees, self._degrees)
        return np.asarray(_image(pixels).rotate(angle, Image.NEAREST))


def erasing(pixels, draws):
    """A black rectangle, as `RandomErasing` draws it."""
    return ERASING(pixels, draws.python)


def jitter(pixels, draws):
    """Brightness, contrast and saturation by factors around 1, in a random order (torchvision 0.2.1)."""
    steps = [
        (adjust, draws.python.uniform(1 - JITTER, 1 + JITTER))
        for adjust in (adjust_brightness, adjust_contrast, adjust_saturation)
    ]
    draws.python.shuffle(steps)
    image = _image(pixels)
    for adjust, factor in steps:
        image = adjust(image, factor)
    return np.asarray(image)


def gaussian_noise(pixels, draws):
    """Noise of a deviation drawn from 0 to 1, in levels of 256; none where it is above a half.

    Published quirk, kept: noise is truncated to whole levels, so most of it is 0, and sums wrap: 0 - 1 is
    255.
    """
    deviation = draws.python.uniform(0, 1)
    if deviation > LARGEST_NOISE:
        return pixels
    noise = np.trunc(draws.noise.normal(0, deviation, pixels.shape)).astype(np.int64)
    return (pixels + noise).astype(np.uint8)


def _image(pixels):
    return Image.fromarray(np.ascontiguousarray(pixels))
