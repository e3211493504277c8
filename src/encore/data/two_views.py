"""Two differently distorted views of an image, for self-supervised pre-training."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Tuple

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from encore.data.augment.colour import ColorJitter, around_one, around_zero, grayscale
from encore.data.augment.crop import RandomResizedCrop
from encore.data.augment.draws import Draws
from encore.data.augment.gates import RandomApply, RandomBelow


@dataclass(frozen=True)
class View:
    """One view: PIL RGB image -> PIL RGB image of size x size (Zbontar et al. 2021, appendix A)."""

    size: int = 224
    blur: float = 1.0
    """Probability of a Gaussian blur with a radius of 0.1 to 2 pixels."""
    solarise: float = 0.0
    """Probability of inverting all values from 128 on."""

    def __call__(self, image, rng: random.Random):
        image = _resized_crop(image, self.size, rng)
        if rng.random() < 0.5:
            image = ImageOps.mirror(image)
        if rng.random() < 0.8:
            image = _jittered(image, rng)
        if rng.random() < 0.2:
            image = image.convert("L").convert("RGB")
        if rng.random() < self.blur:
            image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.1, 2.0)))
        if rng.random() < self.solarise:
            image = ImageOps.solarize(image)
        return image


def published_views(size=224):
    """The two views of Barlow Twins: always blurred; blurred in 10 % and solarised in 20 %."""
    return View(size), View(size, blur=0.1, solarise=0.2)


@dataclass(frozen=True)
class Momentum2View:
    """One view of Momentum²-Teacher: (PIL RGB image, seed) -> PIL RGB image of size x size.

    The steps, their order and their draws are those of torchvision 0.8.2: bilinear crop, jitter, blur, grey,
    flip, solarise (spec isc-track1-training 2.2). Two differences from `View` beside the order: the crop is
    bilinear, and where no drawn box fits it is the largest centred one with an allowed ratio.
    """

    size: int = 224
    least_area: float = 0.08
    """Least share of the area that a crop keeps."""
    jitter: float = 0.8
    """Probability of the colour jitter."""
    strengths: Tuple[float, float, float, float] = (0.4, 0.4, 0.2, 0.1)
    """Of brightness, contrast, saturation and hue."""
    blur: float = 1.0
    """Probability of a Gaussian blur."""
    radii: Tuple[float, float] = (0.1, 2.0)
    """Least and largest radius of the blur in pixels."""
    grey: float = 0.2
    flip: float = 0.5
    solarise: float = 0.0
    """Probability of inverting all values from `threshold` on; 0: no such step, so nothing is drawn for
    it."""
    threshold: int = 128

    def __call__(self, image, seed):
        draws = Draws(seed)
        image = RandomResizedCrop(self.size, (self.least_area, 1.0))(image, draws)
        for gate in self.gates():
            image, _ = gate(image, draws)
        return image

    def gates(self):
        """The steps after the crop with their gates."""
        brightness, contrast, saturation, hue = self.strengths
        ranges = [around_one(strength) for strength in (brightness, contrast, saturation)]
        gates = [
            RandomApply(self.jitter, ColorJitter(*ranges, hue=around_zero(hue))),
            RandomApply(self.blur, self._blurred),
            RandomBelow(self.grey, lambda image, draws: grayscale(image)),
            RandomBelow(self.flip, lambda image, draws: ImageOps.mirror(image)),
        ]
        if self.solarise:
            gates.append(
                RandomApply(self.solarise, lambda image, draws: ImageOps.solarize(image, self.threshold))
            )
        return gates

    def _blurred(self, image, draws):
        return image.filter(ImageFilter.GaussianBlur(draws.uniform(*self.radii)))


def momentum2_views(size=224):
    """The two views of Momentum²-Teacher: always blurred; blurred in 10 % and solarised in 20 %."""
    return Momentum2View(size), Momentum2View(size, blur=0.1, solarise=0.2)


def _resized_crop(image, size, rng):
    """Crop of 8 to 100 % of the area and a ratio of 3/4 to 4/3, bicubic; the whole image where ten draws do
    not fit."""
    width, height = image.size
    box = None
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1.0)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = int(round(math.sqrt(area * ratio))), int(round(math.sqrt(area / ratio)))
        if 0 < w <= width and 0 < h <= height:
            left, top = rng.randint(0, width - w), rng.randint(0, height - h)
            box = (left, top, left + w, top + h)
            break
    return image.resize((size, size), Image.BICUBIC, box=box)


def _jittered(image, rng):
    """Brightness and contrast by 0.6 to 1.4, saturation by 0.8 to 1.2, hue by a tenth of the circle, in
    random order."""
    steps = [
        lambda: ImageEnhance.Brightness(image).enhance(rng.uniform(0.6, 1.4)),
        lambda: ImageEnhance.Contrast(image).enhance(rng.uniform(0.6, 1.4)),
        lambda: ImageEnhance.Color(image).enhance(rng.uniform(0.8, 1.2)),
        lambda: _hue_shifted(image, rng.uniform(-0.1, 0.1)),
    ]
    rng.shuffle(steps)
    for step in steps:
        image = step()
    return image


def _hue_shifted(image, share):
    hue, saturation, value = image.convert("HSV").split()
    shift = int(share * 255)
    hue = hue.point([(level + shift) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")
