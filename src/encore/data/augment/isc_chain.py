"""The augmentation chain of the ISC-2021 training-set generators (Track 2 and nine of Track 1)."""

from __future__ import annotations

from PIL import Image, ImageFilter

from encore.data.augment.chain_recipe import PUBLISHED, ChainRecipe
from encore.data.augment.colour import ColorJitter, around_one, around_zero, colorize, grayscale
from encore.data.augment.crop import RandomResizedCrop
from encore.data.augment.gates import Always, RandomApply, RandomBelow
from encore.data.augment.overlays import overlay_emoji, overlay_image, overlay_text
from encore.data.augment.perspective import perspective_transform
from encore.data.augment.pixels import pad, pixelization, shuffle_pixels
from encore.data.augment.resample import resize
from encore.runtime.refusal import Refusal

__all__ = ["PUBLISHED", "ChainRecipe", "IscChain"]


class IscChain:
    """One generator's chain: picture in, augmented RGB picture of recipe.size x recipe.size out.

    assets: emojis and font (`encore.data.augment.assets.Assets`). foreign: maps an index in
    0..recipe.foreign_pictures-1 to a loaded picture in its own mode, which is not changed here. Each step
    draws its parameters in the published order, also where its result does not need them, so that streams
    stay in step.
    """

    def __init__(self, recipe, assets, foreign):
        self.recipe = recipe
        self.assets = assets
        self.foreign = foreign
        self._crop = RandomResizedCrop(recipe.size, recipe.crop_scale, recipe.crop_ratio)
        self._jitter = ColorJitter(
            around_one(recipe.jitter_brightness),
            around_one(recipe.jitter_contrast),
            around_one(recipe.jitter_saturation),
            around_zero(recipe.jitter_hue),
        )
        self._darken = ColorJitter(brightness=recipe.dark_brightness)
        self._steps = self._list_steps()

    def __call__(self, image, draws, record=None):
        """Augment one picture; `record(name, fired, image)`, if given, is called after each step.

        Names are those of the published classes; `fired` of the text step is a list with one entry a round.
        """
        for name, step in self._steps:
            image, fired = step(image, draws)
            if record is not None:
                record(name, fired, image)
        return image

    def first_copy(self, image, draws):
        """Copy 0 of a class: only resized, ignoring the aspect ratio; its mode is kept unless the recipe
        greys it.

        Greying draws once although it always happens (published: RandomGrayscale with probability 1).
        """
        if self.recipe.grey_first_copy:
            image, _ = RandomBelow(1.0, _grey)(_to_rgb(image), draws)
        return resize(image, (self.recipe.size, self.recipe.size))

    def _list_steps(self):
        r = self.recipe
        steps = [
            ("ToRGB", Always(_rgb_step)),
            _applied("RandomColorize", r.colorize_probability, self._colorize),
            ("RandomResizedCrop", Always(self._crop)),
            _applied("RandomRotation", r.rotation_probability, self._rotate),
            _applied("random_pixelization", r.pixelization_probability, self._pixelize),
            _applied("random_shuffle_pixels", r.shuffle_probability, self._shuffle),
            _applied("random_perspective_transform", r.perspective_probability, self._perspective),
            _applied("random_padding", r.pad_probability, self._pad),
            _applied("random_image_underlay", r.underlay_probability, self._underlay),
            _applied("ColorJitter", r.jitter_probability, self._jitter),
            _applied("ColorJitter", r.dark_probability, self._darken),
            _applied("GaussianBlur", r.blur_probability, self._blur),
            self._grey_at("after_blur"),
            ("RandomHorizontalFlip", RandomBelow(r.flip_probability, _flip)),
            ("random_emoji_overlay", self._emoji),
            ("random_text_overlay", self._text),
            _applied("random_image_opaque", r.blend_probability, self._blend),
            _applied("random_image_overlay", r.overlay_probability, self._overlay),
            self._grey_at("before_resize"),
            ("Resize", Always(self._resize)),
            self._grey_at("after_resize"),
            ("ToRGB", Always(_rgb_step)),
        ]
        return [step for step in steps if step is not None]

    def _grey_at(self, position):
        if self.recipe.grey_position != position:
            return None
        return "RandomGrayscale", RandomBelow(self.recipe.grey_probability, _grey)

    def _colorize(self, image, draws):
        colours = [_colour(draws) for _ in range(3)]
        return colorize(image, *colours)

    def _rotate(self, image, draws):
        degrees = float(self.recipe.rotation_degrees)
        return image.rotate(draws.uniform_(-degrees, degrees), Image.NEAREST)

    def _pixelize(self, image, draws):
        return pixelization(image, draws.uniform(*self.recipe.pixelization_ratio))

    def _shuffle(self, image, draws):
        return shuffle_pixels(image, draws.uniform(*self.recipe.shuffle_factor))

    def _perspective(self, image, draws):
        sigma = draws.uniform(*self.recipe.perspective_sigma)
        # Published: a coin is drawn for cropping the black border, and never used.
        draws.randint(0, 1)
        return perspective_transform(image, sigma)

    def _pad(self, image, draws):
        w_factor, h_factor = _pair(draws, self.recipe.pad_factor)
        return pad(image, w_factor, h_factor, _colour(draws))

    def _underlay(self, image, draws):
        other, index = self._other(draws)
        scale = draws.uniform(*self.recipe.underlay_scale)
        x, y = _pair(draws, self.recipe.underlay_position)
        size = (int(other.size[0] * scale), int(other.size[1] * scale))
        if min(size) < 1:
            raise Refusal(
                "expected other pictures of at least {} pixels a side, found number {} with {}x{}: "
                "leave it out".format(int(1 / self.recipe.underlay_scale[0]) + 1, index, *other.size)
            )
        result = image.copy()
        result.paste(resize(other, size), (int(image.size[0] * x), int(image.size[1] * y)))
        return result

    def _blur(self, image, draws):
        return image.filter(ImageFilter.GaussianBlur(draws.uniform(*self.recipe.blur_radius)))

    def _emoji(self, image, draws):
        r = self.recipe
        opacity, size = draws.uniform(*r.emoji_opacity), draws.uniform(*r.emoji_size)
        x, y = _pair(draws, r.emoji_position)
        if draws.random() > r.emoji_probability:
            return image, False
        emoji = self.assets.emoji(draws.choice(self.assets.emoji_names))
        return overlay_emoji(image, emoji, opacity, size, x, y), True

    def _text(self, image, draws):
        r = self.recipe
        fired = []
        for _ in range(r.text_rounds):
            text = draws.indices(r.text_characters, draws.randint(*r.text_length))
            colour = _colour(draws)
            opacity, size = draws.uniform(*r.text_opacity), draws.uniform(*r.text_size)
            x, y = _pair(draws, r.text_position)
            fired.append(not draws.random() > r.text_probability)
            if fired[-1]:
                image = overlay_text(image, text, self.assets.font, size, opacity, colour, x, y)
        return image, fired

    def _blend(self, image, draws):
        opacity = draws.uniform(*self.recipe.blend_opacity)
        other, _ = self._other(draws)
        size = (self.recipe.size, self.recipe.size)
        return overlay_image(resize(other, size), resize(image, size), opacity, 1.0, 0, 0)

    def _overlay(self, image, draws):
        other, _ = self._other(draws)
        scale = draws.uniform(*self.recipe.overlay_scale)
        x, y = _pair(draws, self.recipe.overlay_position)
        scaled = resize(image, (int(image.size[0] * scale), int(image.size[1] * scale)))
        result = other.copy()
        result.paste(scaled, (int(other.size[0] * x), int(other.size[1] * y)))
        return result

    def _resize(self, image, draws):
        size = (self.recipe.size, self.recipe.size)
        return image if image.size == size else resize(image, size, Image.BILINEAR)

    def _other(self, draws):
        index = draws.randint(0, self.recipe.foreign_pictures - 1)
        return self.foreign(index), index


def _applied(name, probability, step):
    """A gated step under its published name, or None where the recipe leaves it out."""
    if probability is None:
        return None
    return "RandomApply({})".format(name), RandomApply(probability, step)


def _pair(draws, limits):
    return draws.uniform(*limits), draws.uniform(*limits)


def _colour(draws):
    return draws.randint(0, 255), draws.randint(0, 255), draws.randint(0, 255)


def _to_rgb(image):
    return image if image.mode == "RGB" else image.convert("RGB")


def _rgb_step(image, draws):
    return _to_rgb(image)


def _grey(image, draws):
    return grayscale(image)


def _flip(image, draws):
    return image.transpose(Image.FLIP_LEFT_RIGHT)
