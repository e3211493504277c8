"""What the drip training's query augmentation does to one picture: its random draws, apart from pixels."""

from __future__ import annotations

import math
import string
from typing import Callable, NamedTuple, Sequence, Tuple

from encore.data.augment.perspective import box_without_border
from encore.data.augment.pixels import padded_size, square_factors
from encore.data.augment.rotation import rotated_size
from encore.data.augment.stripes import LINE_TYPES

OUTPUT_SIZE = (160, 160)
FILTERS = (0, 1, 2, None)
"""Filters of the small-picture guard: Pillow's NEAREST, LANCZOS, BILINEAR, or AugLy's default, BICUBIC."""
ALPHANUMERICS = string.ascii_letters + string.digits


class Step(NamedTuple):
    """One executed step: AugLy's name for it, and AugLy's names for its parameters."""

    name: str
    parameters: dict


class Sources(NamedTuple):
    """What steps choose from, by index, so their order matters."""

    emojis: Sequence[str]
    """Emoji names, sorted."""
    fonts: Sequence[str]
    """Font names in the published order."""
    pool: Sequence[str]
    """Ids of the pictures that are no classes; empty: the overlay step raises (published)."""
    pool_size: Callable[[str], Tuple[int, int]]
    """(width, height) of a pool picture."""
    templates: Sequence
    """`encore.data.augment.screenshot.ScreenshotTemplate`s, or what has `open()` and `box` like them."""


class DripDraws:
    """The steps of one picture, drawn one by one in the published order as they are iterated over.

    rng: a `random.Random` (or the module `random`); it is drawn from when the next step is asked for, so
    a step that fails leaves it where the published code would. intensity: I, 0 to 1. size: (width, height)
    and bands: number of channels of the picture at the start. Attributes `size` and `bands` are those after
    the last step given out, `drawing` names the draw under way. Only sizes and channels of the picture
    decide on draws, never its pixels; the published conditions short-circuit: where a flag forbids a step,
    nothing is drawn for it.
    """

    def __init__(self, rng, intensity, size, bands, sources, output_size=OUTPUT_SIZE):
        self.rng = rng
        self.intensity = intensity
        self.size = tuple(size)
        self.bands = bands
        self.sources = sources
        self.output_size = tuple(output_size)
        self.drawing = None
        self.perspective = self.grey = self.overlaid = self.screenshot = False

    def __iter__(self):
        for draw in self._order():
            self.drawing = draw.__name__[1:]
            step = draw()
            if step is not None:
                yield step

    def _order(self):
        return (
            self._scale, self._rotate, self._perspective, self._encode, self._jitter, self._grayscale,
            self._opacity, self._enlarge, self._crop, self._pad, self._overlay, self._blur_or_sharpen,
            self._shuffle, self._enlarge, self._stripes, self._emoji, self._text, self._pixelize, self._hflip,
            self._vflip, self._meme, self._screenshot, self._invert, self._reorder, self._shift, self._resize,
        )  # fmt: skip

    def _below(self, probability):
        return self.rng.random() <= probability

    def _colour(self):
        return [self.rng.randint(10, 255) for _ in range(3)]

    def _scale(self):
        if not self._below(0.10):
            return None
        factor = 0.6 + 0.40 * self.rng.random()
        self.size = int(self.size[0] * factor), int(self.size[1] * factor)
        return Step("scale", {"factor": factor})

    def _rotate(self):
        if not self._below(0.10 * self.intensity):
            return None
        degrees = self.intensity * self.rng.randint(0, 360)
        self.size = rotated_size(self.size, degrees)
        return Step("rotate", {"degrees": degrees})

    def _perspective(self):
        if not self._below(0.10 * self.intensity):
            return None
        self.perspective = True
        sigma = 30 * self.intensity
        seed, crop = self.rng.randint(0, 1024), self.rng.choice([True, False])
        box = box_without_border(self.size, sigma, seed) if crop else (0, 0) + self.size
        redrawn = box is None
        if redrawn:  # AugLy raises: published code then tries another seed without the crop.
            seed, crop, box = self.rng.randint(0, 1024), False, (0, 0) + self.size
        self.size = box[2] - box[0], box[3] - box[1]
        return Step(
            "perspective_transform",
            {"sigma": sigma, "seed": seed, "crop_out_black_border": crop, "redrawn": redrawn},
        )

    def _encode(self):
        if not self._below(0.10):
            return None
        self.bands = 3
        # Published quirk: a low intensity gives a worse quality.
        return Step("encoding_quality", {"quality": int(self.intensity * self.rng.randint(10, 50))})

    def _jitter(self):
        if not self._below(0.20):
            return None
        i, u = self.intensity, self.rng.random
        return Step(
            "color_jitter",
            {
                "brightness_factor": (1 - i) + i * (0.25 + 1.5 * u()),
                "contrast_factor": (1 - i) + i * (0.25 + 1.5 * u()),
                "saturation_factor": (1 - i) + i * (0.2 + 50 * math.exp(5 * u()) / 300),
            },
        )

    def _grayscale(self):
        if not self._below(0.10 * self.intensity):
            return None
        self.grey = True
        return Step("grayscale", {})

    def _opacity(self):
        if not self._below(0.05 * self.intensity):
            return None
        return Step("opacity", {"level": 0.6 + 0.4 * self.rng.random()})

    def _enlarge(self):
        if min(self.size) >= 0.5 * min(self.output_size):
            return None
        self.size = self.output_size
        return Step("resize", {"size": self.size, "interpolation": self.rng.choice(FILTERS)})

    def _crop(self):
        if self.perspective or not self._below(0.10 * self.intensity):
            return None
        x1, y1 = self.rng.choice((0, 0.0625, 0.125, 0.25)), self.rng.choice((0, 0.0625, 0.125, 0.25))
        x2, y2 = self.rng.choice((0.75, 0.875, 0.9375, 1)), self.rng.choice((0.75, 0.875, 0.9375, 1))
        (width, height) = self.size
        self.size = int(width * x2) - int(width * x1), int(height * y2) - int(height * y1)
        return Step("crop", {"x1": x1, "y1": y1, "x2": x2, "y2": y2})

    def _pad(self):
        if self.perspective or not self._below(0.05 * self.intensity):
            return None
        if self._below(0.5) or self.size[0] == self.size[1]:
            w_factor, h_factor = (0.10 * self.rng.random() * self.intensity for _ in range(2))
            name, given = "pad", {"w_factor": w_factor, "h_factor": h_factor}
        else:
            w_factor, h_factor = square_factors(self.size)
            name, given = "pad_square", {}
        self.size = padded_size(self.size, w_factor, h_factor)
        return Step(name, dict(given, color=self._colour()))

    def _overlay(self):
        if self.perspective or not self._below(0.10 * self.intensity):
            return None
        self.overlaid = True
        u = self.rng.random
        other = self.rng.choice(self.sources.pool)
        underlay = not self._below(0.50)
        if underlay:
            scale = 0.40 + 0.40 * u()
            opacity = min(1, 0.4 + u())
            x, y = (1 - scale) * u(), (1 - scale) * u()
            self.size = tuple(self.sources.pool_size(other))
        else:
            opacity, scale = min(1, 0.2 + u()), 0.1 + 0.6 * u()
            x, y = u(), u()
        given = {"opacity": opacity, "overlay_size": scale, "x_pos": x, "y_pos": y}
        return Step("overlay_image", dict(given, pool_id=other, underlay=underlay))

    def _blur_or_sharpen(self):
        if not self._below(0.10 * self.intensity):
            return None
        if self._below(0.50):
            return Step("blur", {"radius": self.intensity * (0.1 + self.rng.randint(1, 4))})
        return Step("sharpen", {"factor": 1 + 50 * self.intensity * self.rng.random()})

    def _shuffle(self):
        if not self._below(0.10):
            return None
        factor = 0.20 * self.intensity * self.rng.random()
        return Step("shuffle_pixels", {"factor": factor, "seed": self.rng.randint(0, 1024)})

    def _stripes(self):
        if not self._below(0.10 * self.intensity):
            return None
        u = self.rng.random
        width, color, angle, density = 0.05 + 0.20 * u(), self._colour(), 180 * u(), 0.8 * u()
        kind, opacity = self.rng.choice(LINE_TYPES), min(1, 0.1 + u())
        return Step(
            "overlay_stripes",
            {
                "line_width": width,
                "line_color": color,
                "line_angle": angle,
                "line_density": density,
                "line_type": kind,
                "line_opacity": opacity,
            },
        )

    def _emoji(self):
        if not self._below(0.10 * self.intensity):
            return None
        u = self.rng.random
        name = self.rng.choice(self.sources.emojis)
        opacity, size, x, y = min(1, 0.2 + u()), min(1, 0.05 + u()), u(), u()
        return Step(
            "overlay_emoji",
            {"emoji_path": name, "opacity": opacity, "emoji_size": size, "x_pos": x, "y_pos": y},
        )

    def _text(self):
        if not self._below(0.10 * self.intensity):
            return None
        rng = self.rng
        font = rng.choice(self.sources.fonts)
        text = [rng.randint(0, 2000) for _ in range(rng.randint(5, 10))]
        size, opacity = rng.choice((0.10, 0.15, 0.25, 0.30, 0.40)), min(1, 0.2 + rng.random())
        color, x, y = self._colour(), 0.25 * rng.random(), 0.75 * rng.random()
        given = {"font_size": size, "opacity": opacity, "color": color, "x_pos": x, "y_pos": y}
        return Step("overlay_text", dict(given, font_file=font, text=text))

    def _pixelize(self):
        if not self._below(0.10 * self.intensity):
            return None
        return Step("pixelization", {"ratio": self.rng.choice((0.125, 0.25, 0.5, 0.75))})

    def _hflip(self):
        return Step("hflip", {}) if self._below(0.50) else None

    def _vflip(self):
        return Step("vflip", {}) if self._below(0.10) else None

    def _meme(self):
        if self.overlaid or not self._below(0.10 * self.intensity):
            return None
        rng = self.rng
        text = "".join(rng.choices(ALPHANUMERICS, k=rng.randint(2, 20)))
        font, caption = rng.choice(self.sources.fonts), rng.choice(range(20, 150, 5))
        opacity, color, background = rng.choice((0.5, 0.75, 1)), self._colour(), self._colour()
        self.size = self.size[0], self.size[1] + caption
        return Step(
            "meme_format",
            {
                "text": text,
                "font_file": font,
                "caption_height": caption,
                "opacity": opacity,
                "text_color": color,
                "meme_bg_color": background,
            },
        )

    def _screenshot(self):
        if self.overlaid or self.perspective or not self._below(0.05 * self.intensity):
            return None
        self.screenshot = True
        template = self.rng.choice(self.sources.templates)
        crop = self.rng.choice([True, False])
        with template.open() as picture:
            self.size = picture.size
        return Step("overlay_onto_screenshot", {"template": template, "crop_src_to_fit": crop})

    def _channels_change(self):
        """The gate of steps 24a to c; only a picture of three channels can pass."""
        may = not self.grey and not self.screenshot and self.bands == 3
        return may and self._below(0.05 * self.intensity)

    def _invert(self):
        if not self._channels_change():
            return None
        return Step("invert_channel", {c: self.rng.choice([True, False]) for c in ("red", "green", "blue")})

    def _reorder(self):
        if not self._channels_change():
            return None
        order = [0, 1, 2]
        if self._below(0.25):
            order = self.rng.choices(order, k=3)  # Published: channels may repeat.
        else:
            self.rng.shuffle(order)
        return Step("swap_channels", {"order": order})

    def _shift(self):
        if not self._channels_change():
            return None
        largest = max(1, int(0.05 * min(self.size)))
        rows, columns = self.rng.randint(-largest, largest), self.rng.randint(-largest, largest)
        self.size = self.size[0] - 2 * abs(columns), self.size[1] - 2 * abs(rows)
        return Step("shift_channels", {"rows": rows, "columns": columns})

    def _resize(self):
        if self.size == self.output_size:
            return None
        self.size = self.output_size
        return Step("final_resize", {"size": self.size})
