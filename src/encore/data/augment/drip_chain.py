"""The 25-step query augmentation of the drip training (AugLy 0.1.10, Pillow 8.3.2, OpenCV)."""

from __future__ import annotations

import io
from typing import NamedTuple, Tuple

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from encore.data.augment import channels
from encore.data.augment.colour import jitter_in_order
from encore.data.augment.drip_draws import OUTPUT_SIZE, DripDraws, Sources, Step
from encore.data.augment.meme import meme_format
from encore.data.augment.opacity import opacity
from encore.data.augment.opencv_bilinear import resize_bilinear, resize_picture
from encore.data.augment.overlays import AUGLY_0_1_10, overlay_emoji, overlay_image, overlay_text
from encore.data.augment.perspective import box_without_border, perspective_transform
from encore.data.augment.pixels import pad, pad_to_square, pixelization, shuffle_pixels_as_seeded
from encore.data.augment.resample import resize
from encore.data.augment.rotation import rotate
from encore.data.augment.screenshot import overlay_onto_screenshot, scale
from encore.data.augment.stripes import overlay_stripes
from encore.runtime.refusal import Refusal

RETRIES = 10
"""How often a picture is augmented anew after a step raised (published)."""


class Augmented(NamedTuple):
    """What the chain made of one picture."""

    pixels: np.ndarray
    """uint8 (height, width, channels), or (height, width) for a grey picture."""
    steps: Tuple[Step, ...]
    """The executed steps of the attempt that succeeded."""
    raised: Tuple[str, ...]
    """Names of the steps that raised, one entry each time: empty where nothing failed."""


class DripChain:
    """Picture in, augmented array of 160x160 out.

    intensity: I, 0 to 1, scales probabilities and strengths. assets: emojis and fonts
    (`encore.data.augment.drip_assets.DripAssets`). pool: ids of the overlay pictures, a list. open_picture:
    maps an id to a Pillow picture, decoded or not, which is not changed here. templates: a list of
    `encore.data.augment.screenshot.ScreenshotTemplate`, or of what has `open()` and `box` like them. retries:
    how often a picture is redrawn after a step raised. Raises Refusal for an intensity out of range.
    """

    def __init__(self, intensity, assets, pool, open_picture, templates, size=OUTPUT_SIZE, retries=RETRIES):
        if not 0 <= intensity <= 1:
            raise Refusal("intensity must lie in 0..1, found {!r}: correct it".format(intensity))
        self.intensity = intensity
        self.assets = assets
        self.open_picture = open_picture
        self.sources = Sources(assets.emoji_names, assets.font_names, pool, self._pool_size, templates)
        self.size = tuple(size)
        self.retries = retries

    def draws(self, rng, size, bands):
        """The steps for a picture of `size` (width, height) with `bands` channels, to iterate over."""
        return DripDraws(rng, self.intensity, size, bands, self.sources, self.size)

    def __call__(self, image, rng, numpy_state):
        """Augment one picture; returns `Augmented`.

        image: a Pillow picture, also one that is not decoded yet; it is not changed. rng: a `random.Random`.
        numpy_state: a numpy RandomState that stands for numpy's global generator: steps do not draw from it,
        the shuffling step re-seeds it (published). After a step raised, all is drawn again from where the
        generators then are; the failure of attempt retries + 1 is raised. A Refusal is raised at once.
        """
        raised = []
        for attempt in range(self.retries + 1):
            draws, steps = self.draws(rng, image.size, len(image.getbands())), []
            try:
                pixels = self._attempt(image, draws, numpy_state, steps)
            except Refusal:
                raise
            except Exception:
                raised.append(_failed(draws, steps))
                if attempt == self.retries:
                    raise
                continue
            raised += [step.name for step in steps if step.parameters.get("redrawn")]
            return Augmented(pixels, tuple(steps), tuple(raised))

    def _attempt(self, image, draws, numpy_state, steps):
        """The picture after all steps; executed ones are appended to `steps`, the failing one last."""
        for step in draws:
            draws.drawing = None
            steps.append(step)
            if step.name in _STEPS:
                image = _STEPS[step.name](image, **step.parameters)
            elif step.name in _ARRAY_STEPS:
                image = _ARRAY_STEPS[step.name](np.asarray(image), **step.parameters)
            elif step.name == "shuffle_pixels":
                image = shuffle_pixels_as_seeded(image, generator=numpy_state, **step.parameters)
            else:
                image = getattr(self, "_" + step.name)(image, **step.parameters)
        return image if isinstance(image, np.ndarray) else np.array(image)

    def _pool_size(self, sample):
        return self.open_picture(sample).size

    def _overlay_image(self, image, pool_id, underlay, opacity, overlay_size, x_pos, y_pos):
        other = self.open_picture(pool_id)
        below, above = (other, image) if underlay else (image, other)
        result = overlay_image(below, above, opacity, overlay_size, x_pos, y_pos, AUGLY_0_1_10)
        return _in_mode_of(image, result)

    def _overlay_emoji(self, image, emoji_path, opacity, emoji_size, x_pos, y_pos):
        emoji = self.assets.emoji(emoji_path)
        return overlay_emoji(image, emoji, opacity, emoji_size, x_pos, y_pos, AUGLY_0_1_10)

    def _overlay_text(self, image, font_file, text, font_size, opacity, color, x_pos, y_pos):
        font = self.assets.font(font_file)
        return overlay_text(image, text, font, font_size, opacity, color, x_pos, y_pos, AUGLY_0_1_10)

    def _meme_format(self, image, text, font_file, caption_height, opacity, text_color, meme_bg_color):
        font = self.assets.font(font_file)
        return meme_format(image, text, font, text_color, caption_height, meme_bg_color, opacity)


def _failed(draws, steps):
    """The name of what raised: a draw, or the last step."""
    return draws.drawing if draws.drawing is not None else steps[-1].name


def _perspective(image, sigma, seed, crop_out_black_border, redrawn):
    if not crop_out_black_border:
        return perspective_transform(image, sigma, seed)
    box = box_without_border(image.size, sigma, seed)
    return perspective_transform(image, sigma, seed, box[2:]).crop(box)


def _encode(image, quality):
    buffer = io.BytesIO()
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    rgb.save(buffer, format="JPEG", quality=quality)
    return Image.open(buffer)


def _grayscale(image):
    return image if image.mode == "L" else image.convert("L").convert("RGB").convert(image.mode)


def _enlarge(image, size, interpolation):
    return resize(image, size, Image.BICUBIC if interpolation is None else interpolation)


def _crop(image, x1, y1, x2, y2):
    width, height = image.size
    return image.crop((int(width * x1), int(height * y1), int(width * x2), int(height * y2)))


def _pad(image, color, w_factor, h_factor):
    return _in_mode_of(image, pad(image, w_factor, h_factor, color))


def _in_mode_of(image, result):
    return result if result.mode == image.mode else result.convert(image.mode)


_STEPS = {
    "scale": scale,
    "rotate": rotate,
    "perspective_transform": _perspective,
    "encoding_quality": _encode,
    "color_jitter": lambda image, **factors: jitter_in_order(image, *factors.values()),
    "grayscale": _grayscale,
    "opacity": opacity,
    "resize": _enlarge,
    "crop": _crop,
    "pad": _pad,
    "pad_square": lambda image, color: _in_mode_of(image, pad_to_square(image, color)),
    "blur": lambda image, radius: image.filter(ImageFilter.GaussianBlur(radius)),
    "sharpen": lambda image, factor: ImageEnhance.Sharpness(image).enhance(factor),
    "overlay_stripes": overlay_stripes,
    "pixelization": pixelization,
    "hflip": lambda image: image.transpose(Image.FLIP_LEFT_RIGHT),
    "vflip": lambda image: image.transpose(Image.FLIP_TOP_BOTTOM),
    "overlay_onto_screenshot": lambda image, template, crop_src_to_fit: overlay_onto_screenshot(
        image, template.open(), template.box, crop_src_to_fit
    ),
    "final_resize": lambda image, size: (
        resize_bilinear(image, size) if isinstance(image, np.ndarray) else resize_picture(image, size)
    ),
}

_ARRAY_STEPS = {
    "invert_channel": channels.invert_channels,
    "swap_channels": channels.reorder_channels,
    "shift_channels": channels.shift_channels,
}
