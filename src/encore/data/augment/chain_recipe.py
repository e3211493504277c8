"""The numbers of the ISC-2021 training-set generators: one recipe a data set."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Optional, Tuple

GREY_POSITIONS = ("after_blur", "before_resize", "after_resize")

Range = Tuple[float, float]


@dataclass(frozen=True)
class ChainRecipe:
    """Every probability and range of one generator's chain (ISC-2021 Track 1 spec, table 1.4 and 1.5).

    A probability of None leaves the step out, so nothing is drawn for it; ranges are uniform, both ends
    given. The defaults are those of `isc_100k_256_big`. Raises ValueError, naming the field, for a value
    out of range.
    """

    size: int = 256
    """Width and height of the result in pixels."""
    colorize_probability: Optional[float] = None
    """Step 1b: grey picture re-coloured by a random black, white and mid colour."""
    crop_scale: Range = (0.2, 1)
    """Step 2: share of the area that the crop keeps."""
    crop_ratio: Range = (3.0 / 4.0, 4.0 / 3.0)
    """Step 2: width / height of the crop, log-uniform."""
    rotation_probability: float = 0.3
    """Step 3."""
    rotation_degrees: float = 50
    """Step 3: largest angle, to both sides."""
    pixelization_probability: float = 0.3
    """Step 4."""
    pixelization_ratio: Range = (0.1, 1)
    """Step 4: share of each side that is kept."""
    shuffle_probability: float = 0.3
    """Step 5."""
    shuffle_factor: Range = (0, 0.4)
    """Step 5: share of the pixels that change places."""
    perspective_probability: float = 0.3
    """Step 6."""
    perspective_sigma: Range = (0, 50)
    """Step 6: size of the corners' move in pixels."""
    pad_probability: float = 0.3
    """Step 7."""
    pad_factor: Range = (0, 0.1)
    """Step 7: share of the width, and of the height, added on both sides."""
    underlay_probability: float = 0.3
    """Step 8: a small other picture pasted on this one."""
    underlay_scale: Range = (0.04, 0.1)
    """Step 8: scale of the other picture, of its own size."""
    underlay_position: Range = (0, 0.5)
    """Step 8: its left and top, share of this picture's size."""
    jitter_probability: float = 0.8
    """Step 9."""
    jitter_brightness: float = 0.5
    """Step 9: largest change of the factor 1."""
    jitter_contrast: float = 0.5
    """Step 9: largest change of the factor 1."""
    jitter_saturation: float = 0.3
    """Step 9: largest change of the factor 1."""
    jitter_hue: float = 0.2
    """Step 9: largest turn, to both sides."""
    dark_probability: Optional[float] = None
    """Step 9b: a second jitter that only darkens."""
    dark_brightness: Range = (0.1, 0.5)
    """Step 9b: brightness factor."""
    blur_probability: float = 1.0
    """Step 10."""
    blur_radius: Range = (0.1, 2.0)
    """Step 10: Gaussian radius in pixels."""
    grey_probability: float = 0.3
    """Step 11: three equal channels."""
    grey_position: str = "after_blur"
    """Where step 11 stands: "after_blur", "before_resize" (after 15) or "after_resize" (after 16)."""
    flip_probability: float = 0.5
    """Step 12: left and right exchanged."""
    emoji_probability: float = 0.3
    """Step 13."""
    emoji_opacity: Range = (0, 1)
    """Step 13."""
    emoji_size: Range = (0, 1)
    """Step 13: share of the picture's height."""
    emoji_position: Range = (0, 0.5)
    """Step 13: left and top, share of the picture's size."""
    text_probability: float = 0.3
    """Step 14: of each round."""
    text_rounds: int = 2
    """Step 14: how often it runs."""
    text_length: Tuple[int, int] = (0, 20)
    """Step 14: number of characters, both ends included."""
    text_characters: int = 100
    """Step 14: how many entries of the font's character table are used."""
    text_opacity: Range = (0, 1)
    """Step 14."""
    text_size: Range = (0, 1)
    """Step 14: share of the picture's shorter side."""
    text_position: Range = (0, 0.5)
    """Step 14: left and top, share of the picture's size."""
    blend_probability: Optional[float] = None
    """Step 14b: this picture, partly transparent, over another one of the same size."""
    blend_opacity: Range = (0.2, 1.0)
    """Step 14b: of this picture."""
    overlay_probability: float = 0.2
    """Step 15: this picture pasted on a larger other one."""
    overlay_scale: Range = (2.5, 3.5)
    """Step 15: scale of this picture, of its own size."""
    overlay_position: Range = (0, 0.5)
    """Step 15: left and top, share of the other picture's size."""
    foreign_pictures: int = 10001
    """How many other pictures there are to choose from (published: randint(0, 10000), both ends included)."""
    grey_first_copy: bool = False
    """Whether copy 0, which is only resized, is made grey first."""

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_probability") and value is not None and not 0 <= value <= 1:
                raise ValueError("{} must lie in 0..1, found {!r}".format(field.name, value))
            if isinstance(value, (tuple, list)):
                if len(value) != 2 or not 0 <= value[0] <= value[1]:
                    raise ValueError("{} must be (low, high) from 0 up, found {!r}".format(field.name, value))
                object.__setattr__(self, field.name, tuple(value))
        if self.size < 1 or self.foreign_pictures < 1:
            raise ValueError("size and foreign_pictures must be at least 1")
        if self.grey_position not in GREY_POSITIONS:
            raise ValueError(
                "grey_position must be one of {}, found {!r}".format(GREY_POSITIONS, self.grey_position)
            )


_BIG = ChainRecipe()
_GREY_LAST = dict(grey_probability=1.0, grey_position="after_resize", grey_first_copy=True)
_STRONG_BLUR = dict(blur_probability=0.3, blur_radius=(5, 20))

PUBLISHED = {
    "isc_100k_256": replace(_BIG, overlay_scale=(1, 2.5)),
    "isc_100k_256_big": _BIG,
    "isc_100k_256_big_bw": replace(_BIG, **_GREY_LAST),
    "isc_100k_256_big_blur": replace(_BIG, **_STRONG_BLUR),
    "isc_100k_256_big_blur_bw": replace(
        _BIG, grey_probability=1.0, grey_position="before_resize", grey_first_copy=True, **_STRONG_BLUR
    ),
    "isc_100k_256_big_color_p4": replace(_BIG, colorize_probability=0.4),
    # Published: the grey step keeps its place, so emojis, text and the other pictures stay coloured.
    "isc_100k_256_big_color_p4_bw": replace(
        _BIG, colorize_probability=0.4, grey_probability=1.0, grey_first_copy=True
    ),
    "isc_100k_256_big_dark": replace(_BIG, dark_probability=0.5),
    "isc_100k_256_big_opa": replace(_BIG, blend_probability=0.4),
    "isc_100k_256_big_u": replace(_BIG, underlay_probability=0.4, underlay_scale=(0.2, 0.3)),
}
"""The recipe of every published data set that has a generator: Track 2's `isc_100k_256` and nine of Track
1.
"""
