"""How the teacher sees a batch: one crop, one flip and one roll for all of its pictures.

The published transforms are applied to the whole batch tensor, so each draws once. Pictures that are cropped
one by one would be another algorithm.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F

from encore.systems.fkd.crops import CropBox, draw_crop, draw_flip


class Augmentation(NamedTuple):
    """What was drawn for one iteration."""

    crop: Optional[CropBox]
    """None, like `flip`, where recipe.crop is off."""
    flip: Optional[bool]
    roll: Tuple[int, int]
    """Pixels down and to the right."""


def draw_augmentation(recipe, smallest, generator, rolls):
    """The Augmentation of one iteration, in the published order of draws.

    smallest: smallest share of a crop. generator: torch.Generator of crop and flip. rolls: random.Random, of
    which two whole numbers are drawn, `recipe.jitter` included. The coin of the flip is drawn whatever
    recipe.flip is, so that no other draw depends on it.
    """
    crop = flip = None
    if recipe.crop:
        crop = draw_crop(recipe.size, recipe.size, (smallest, 1.0), generator)
        flip = draw_flip(generator, recipe.flip)
    low = -recipe.jitter if recipe.symmetric_roll else 0
    return Augmentation(crop, flip, (rolls.randint(low, recipe.jitter), rolls.randint(low, recipe.jitter)))


def augmented(pictures, augmentation):
    """Pictures (n, c, s, s) as the teacher sees them, of the same shape; differentiable.

    The crop is enlarged bilinearly without antialiasing, as torchvision 0.15 does with tensors.
    """
    x, size = pictures, tuple(pictures.shape[2:])
    if augmentation.crop is not None:
        top, left, height, width = augmentation.crop
        x = x[:, :, top : top + height, left : left + width]
        if (height, width) != size:
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
    if augmentation.flip:
        x = x.flip(3)
    return torch.roll(x, augmentation.roll, (2, 3))
