"""Pictures on which a picture or an emoji is pasted, with the boxes of what was pasted.

The published set was made of the challenge's training pictures, its labels generated while overlays and
emojis were pasted (spec isc-track1-test 1.1); how is not stated. Here both are pasted as the data chain does
it: an overlay is the picture on a foreign picture (step 15; scaled by the foreign picture's height, as AugLy
does, and also partly transparent), an emoji is AugLy's with its palette scaling (step 13; visible opacities
only, since an invisible one cannot be found, and all over the picture). Some pictures get neither.
"""

from __future__ import annotations

import dataclasses
from typing import Tuple

import numpy as np

from encore.data.augment.overlays import overlay_emoji, overlay_image
from encore.data.augment.resample import resize
from encore.data.images import RejectedImage
from encore.detection.detections import EMOJI, OVERLAY
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal

Range = Tuple[float, float]


@dataclasses.dataclass(frozen=True)
class PastingRecipe:
    """What is pasted how often, how large and where; sizes and places are shares of the picture below."""

    overlay_probability: float = limited(0.5, low=0, high=1)
    """The picture is pasted on a foreign one; else it stays below."""
    overlay_opacity: Range = limited((0.5, 1.0), low=0, high=1)
    overlay_size: Range = limited((0.3, 0.9), low=0.01, high=4)
    """Height of the pasted picture over that of the picture below."""
    overlay_position: Range = limited((0.0, 0.5), low=0, high=0.95)
    """Left and top, as in step 15."""
    emoji_probability: float = limited(0.5, low=0, high=1)
    emoji_most: int = limited(2, low=1, high=100)
    """One to so many emojis a picture."""
    emoji_opacity: Range = limited((0.4, 1.0), low=0, high=1)
    emoji_size: Range = limited((0.15, 0.6), low=0.01, high=4)
    """Height of the emoji over that of the picture."""
    emoji_position: Range = limited((0.0, 0.8), low=0, high=0.95)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise Refusal("{} must be [low, high], found {}".format(field.name, list(value)))


def pasted(picture, foreign, recipe, assets, draws):
    """One picture of the set -> (PIL RGB image, boxes float64 (n, 5): x1, y1, x2, y2, class, in its pixels).

    picture: PIL image. foreign: function without arguments that draws a foreign picture; called only where
    one is needed. A box is what is seen of it: cut at the border, an emoji's without its transparent rim.
    """
    image, boxes = _rgb(picture), []
    if draws.random() < recipe.overlay_probability:
        below = _rgb(foreign())
        opacity, size = draws.uniform(*recipe.overlay_opacity), draws.uniform(*recipe.overlay_size)
        x, y = (draws.uniform(*recipe.overlay_position) for _ in range(2))
        boxes.append(visible_box(below, image, size, x, y) + (OVERLAY,))
        image = overlay_image(below, image, opacity, size, x, y).convert("RGB")
    if draws.random() < recipe.emoji_probability:
        for _ in range(draws.randint(1, recipe.emoji_most)):
            emoji = assets.emoji(draws.choice(assets.emoji_names))
            opacity, size = draws.uniform(*recipe.emoji_opacity), draws.uniform(*recipe.emoji_size)
            x, y = (draws.uniform(*recipe.emoji_position) for _ in range(2))
            box = visible_box(image, emoji, size, x, y)
            if box is not None:
                boxes.append(box + (EMOJI,))
            image = overlay_emoji(image, emoji, opacity, size, x, y).convert("RGB")
    return image, np.array(boxes, dtype=np.float64).reshape(-1, 5)


def visible_box(image, overlay, overlay_size, x_pos, y_pos):
    """Box (x1, y1, x2, y2) of the pixels that `overlay_image` with these values changes at full opacity; None
    where it changes none. Raises RejectedImage for an overlay too narrow to be seen."""
    width, height = image.size
    new_height = max(1, int(height * overlay_size))
    new_width = int(overlay.size[0] * new_height / overlay.size[1])
    if new_width < 1:
        raise RejectedImage("{}x{} pixels: too narrow to be pasted".format(*overlay.size))
    shown = resize(overlay, (new_width, new_height)).convert("RGBA").getchannel("A").getbbox()
    if shown is None:
        return None
    left, top = int(width * x_pos), int(height * y_pos)
    box = (left + shown[0], top + shown[1], min(width, left + shown[2]), min(height, top + shown[3]))
    return box if box[0] < box[2] and box[1] < box[3] else None


def _rgb(image):
    try:
        return image if image.mode == "RGB" else image.convert("RGB")
    except ValueError as error:
        raise RejectedImage("no conversion from mode {} to RGB".format(image.mode)) from error
