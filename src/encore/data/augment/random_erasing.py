"""Random erasing of a rectangle, as published for person re-identification."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import NamedTuple, Optional


class Rectangle(NamedTuple):
    """Pixels of a picture."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class RandomErasing:
    """Blacks out one rectangle of a picture (Zhong et al. 2017, in the published variant).

    Published quirks, kept: it works on 8-bit pixels before normalisation, where the fill colour (0.4914,
    0.4822, 0.4465) truncates to black; the largest area is a tenth of the picture, not 0.4 of it.
    """

    probability: float = 0.6
    least_area: float = 0.02
    largest_area: float = 0.10
    """Shares of the picture."""
    least_aspect: float = 0.3
    """Of height to width; the largest is its reciprocal."""
    tries: int = 100

    def __call__(self, pixels, draws: random.Random):
        """uint8 (height, width, 3) -> the same with the rectangle at 0; `pixels` itself where none is
        drawn."""
        found = self.rectangle(pixels.shape[0], pixels.shape[1], draws)
        if found is None:
            return pixels
        erased = pixels.copy()
        erased[found.top : found.top + found.height, found.left : found.left + found.width] = 0
        return erased

    def rectangle(self, height, width, draws: random.Random) -> Optional[Rectangle]:
        """The rectangle for a picture of `height` x `width`, or None; draws as the published code does."""
        if draws.uniform(0, 1) > self.probability:
            return None
        for _ in range(self.tries):
            area = draws.uniform(self.least_area, self.largest_area) * height * width
            aspect = draws.uniform(self.least_aspect, 1 / self.least_aspect)
            high, wide = int(round(math.sqrt(area * aspect))), int(round(math.sqrt(area / aspect)))
            if wide < width and high < height:
                return Rectangle(draws.randint(0, height - high), draws.randint(0, width - wide), high, wide)
        return None
