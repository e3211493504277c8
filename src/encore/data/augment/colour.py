"""Colour steps: torchvision 0.8.2's ColorJitter and grayscale, and Pillow's colorize, on Pillow images."""

from __future__ import annotations

from PIL import Image, ImageEnhance, ImageOps

_LEVELS = Image.frombytes("L", (256, 1), bytes(range(256)))


def around_one(strength):
    """The factor range of a ColorJitter strength: [max(0, 1 - strength), 1 + strength]; None for strength
    0.
    """
    return (max(0.0, 1.0 - float(strength)), 1.0 + float(strength)) if strength else None


def around_zero(strength):
    """The hue range of a ColorJitter strength: [-strength, strength]; None for strength 0."""
    return (-float(strength), float(strength)) if strength else None


class ColorJitter:
    """Brightness, contrast, saturation and hue of an RGB or L picture in a random order; None leaves one out.

    The order is a permutation of four also when ranges are None; each factor is drawn when its turn comes.
    """

    def __init__(self, brightness=None, contrast=None, saturation=None, hue=None):
        self.ranges = (brightness, contrast, saturation, hue)
        self.adjust = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)

    def __call__(self, image, draws):
        for which in draws.randperm(4):
            if self.ranges[which] is not None:
                image = self.adjust[which](image, draws.uniform_(*self.ranges[which]))
        return image


def adjust_brightness(image, factor):
    """Blend with black; `factor` 1 keeps the picture."""
    return _blend_with_level(image, 0, factor)


def adjust_contrast(image, factor):
    """Blend with the rounded mean of the grey picture; `factor` 1 keeps the picture."""
    counts = image.convert("L").histogram()
    total = sum(level * count for level, count in enumerate(counts))
    return _blend_with_level(image, int(total / (image.width * image.height) + 0.5), factor)


def _blend_with_level(image, level, factor):
    """Pillow's `Image.blend` of an RGB or L picture with a flat grey one, by a table that Pillow's blend
    makes.
    """
    return by_table(image, Image.blend(Image.new("L", (256, 1), level), _LEVELS, factor))


def by_table(image, table):
    """Each value of an RGB or L picture by `table`, an L picture of 256 pixels, in all channels.

    What `Image.point` does, without its rounding of a list of whole numbers, number by number.
    """
    image.load()
    return image._new(image.im.point(list(table.tobytes()) * len(image.getbands()), None))


def adjust_saturation(image, factor):
    """Blend with the grey picture; `factor` 1 keeps the picture."""
    return ImageEnhance.Color(image).enhance(factor)


def jitter_in_order(image, brightness, contrast, saturation):
    """AugLy's color_jitter: Pillow's brightness, contrast and saturation enhancement, one after the other."""
    if image.mode in ("L", "RGB"):
        return adjust_saturation(adjust_contrast(adjust_brightness(image, brightness), contrast), saturation)
    image = ImageEnhance.Brightness(image).enhance(brightness)
    image = ImageEnhance.Contrast(image).enhance(contrast)
    return ImageEnhance.Color(image).enhance(saturation)


def adjust_hue(image, factor):
    """Turn the hue by `factor` (-0.5 to 0.5 of a full turn), in Pillow's 8-bit HSV; grey modes are kept as
    they are.

    The turn in steps of 1/255 is truncated towards zero and wraps at 256 (published: uint8 arithmetic).
    """
    if image.mode in ("L", "1", "I", "F"):
        return image
    shift = int(factor * 255) & 255
    hue, saturation, value = image.convert("HSV").split()
    hue = hue.point([(level + shift) & 255 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert(image.mode)


def grayscale(image):
    """The luma of a picture as RGB with three equal channels; mode L stays mode L (torchvision 0.8.2)."""
    grey = image.convert("L")
    return grey if image.mode == "L" else Image.merge("RGB", (grey, grey, grey))


def colorize(image, black, white, mid):
    """Map the grey levels of a picture to a ramp black - mid - white; RGB triples in 0..255; returns RGB."""
    return ImageOps.colorize(image.convert("L"), black, white, mid=mid)
