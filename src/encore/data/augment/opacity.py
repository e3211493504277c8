"""AugLy 0.1.10's opacity on Pillow images."""

from __future__ import annotations

from PIL import Image

from encore.data.augment.colour import by_table

_LEVELS = Image.frombytes("L", (256, 1), bytes(range(256)))


def opacity(image, level):
    """Blend a picture with white: `level` 1 keeps it, 0 is white; returns the same mode.

    The weight is int(level x alpha) of 255, with Pillow's rounding. Grey and RGB pictures go by a table of
    256 entries that Pillow's own blend makes.
    """
    if image.mode in ("L", "RGB"):
        table = Image.new("L", (256, 1), 255)
        table.paste(_LEVELS, (0, 0), Image.new("L", (256, 1), int(255 * level)))
        return by_table(image, table)
    rgba = image.convert("RGBA")
    mask = rgba.getchannel("A").point([int(alpha * level) for alpha in range(256)])
    white = Image.new("RGBA", image.size, (255, 255, 255, 0))
    return Image.composite(rgba, white, mask).convert(image.mode)
