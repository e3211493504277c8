"""The training transform of the ISC 2021 submissions: resize, flip, pad, crop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from encore.data.augment.resample import resize

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
TINY_MEAN, TINY_STD = (0.4802, 0.4481, 0.3975), (0.2302, 0.2265, 0.2262)
"""Of Tiny-ImageNet."""
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
"""Published for CIFAR-100; they are those of CIFAR-10."""


@dataclass(frozen=True)
class TrainingTransform:
    """PIL RGB image -> uint8 (3, height, width), with the draws of torchvision 0.8.2 in their order."""

    height: int = 256
    width: int = 256
    flip: float = 0.5
    pad: int = 10
    """Black border in pixels before the random crop."""
    random: bool = True
    """False: resize only (the Track 1 "pair" models)."""

    def __call__(self, image, generator: torch.Generator):
        return self.augmented(self.resized(image), generator)

    def resized(self, image):
        """The part without draws: PIL RGB image -> uint8 (height, width, 3)."""
        if image.size != (self.width, self.height):
            image = resize(image, (self.width, self.height), Image.BILINEAR)
        return np.asarray(image)

    def augmented(self, pixels, generator: torch.Generator):
        """The part with draws: uint8 (height, width, 3) -> uint8 (3, height, width)."""
        if self.random:
            if torch.rand(1, generator=generator) < self.flip:
                pixels = pixels[:, ::-1]
            if self.pad:
                pixels = self._padded_crop(pixels, generator)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))

    def _padded_crop(self, pixels, generator):
        top, left = (int(torch.randint(0, 2 * self.pad + 1, (1,), generator=generator)) for _ in range(2))
        padded = np.zeros((self.height + 2 * self.pad, self.width + 2 * self.pad, 3), np.uint8)
        padded[self.pad : -self.pad, self.pad : -self.pad] = pixels
        return padded[top : top + self.height, left : left + self.width]


def normalised(pixels, mean=IMAGENET_MEAN, deviation=IMAGENET_STD):
    """uint8 (n, 3, h, w) -> float32 of the same shape and device: divided by 255, minus each channel's mean,
    by its deviation (default: ImageNet's). Written so that a GPU computes the bits of the CPU."""
    mean = torch.tensor(mean).view(1, 3, 1, 1).to(pixels.device)
    deviation = torch.tensor(deviation).view(1, 3, 1, 1).to(pixels.device)
    white = torch.tensor(255.0).to(pixels.device)  # a plain number would be a product with 1/255 on a GPU
    return pixels.to(torch.float32).div_(white).sub_(mean).div_(deviation)
