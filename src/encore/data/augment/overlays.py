"""AugLy's overlay_image, overlay_emoji and overlay_text on Pillow images."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw

from encore.data.augment.resample import resize


@dataclass(frozen=True)
class AugLyVersion:
    """What differs between AugLy releases, as a value."""

    release: str
    """The release on the package index."""
    restores_mode: bool
    """Whether overlays hand back the mode they were given; earlier releases leave RGBA."""


AUGLY_0_1_4 = AugLyVersion("0.1.4", restores_mode=False)
AUGLY_0_1_10 = AugLyVersion("0.1.10", restores_mode=True)


def overlay_image(image, overlay, opacity, overlay_size, x_pos, y_pos, version=AUGLY_0_1_4):
    """Paste `overlay`, scaled to `overlay_size` x the picture's height, at (x_pos, y_pos) x the picture's
    size.

    opacity: 0 to 1, multiplied with the overlay's alpha and truncated to 8 bits. Returns RGBA (see
    AugLyVersion) of the picture's size. Alpha of the picture is blended like a colour (published: no
    compositing).
    """
    width, height = image.size
    new_height = max(1, int(height * overlay_size))
    new_width = int(overlay.size[0] * new_height / overlay.size[1])
    # Pillow scales palette pictures with NEAREST whatever the filter, so all published emojis are.
    scaled = resize(overlay, (new_width, new_height))
    place = int(width * x_pos), int(height * y_pos)
    # On RGB nothing but the colours survives: blending without the alpha channels gives the same ones.
    rgb = version.restores_mode and image.mode == "RGB"
    if rgb and scaled.mode == "RGB":
        mask = Image.new("L", scaled.size, int(255 * opacity))
    else:
        rgba = scaled.convert("RGBA")
        mask = rgba.getchannel("A").point([int(alpha * opacity) for alpha in range(256)])
        scaled = rgba.convert("RGB") if rgb else rgba
    result = image.copy() if rgb else image.convert("RGBA")
    result.paste(scaled, place, mask)
    return _finished(result, image, version)


def overlay_emoji(image, emoji, opacity, emoji_size, x_pos, y_pos, version=AUGLY_0_1_4):
    """overlay_image with a decoded emoji (mode P in AugLy's assets)."""
    return overlay_image(image, emoji, opacity, emoji_size, x_pos, y_pos, version)


def overlay_text(image, text, font, font_size, opacity, color, x_pos, y_pos, version=AUGLY_0_1_4):
    """Write `text` (indices into the font's character table) at (x_pos, y_pos) x the picture's size.

    font: an `encore.data.augment.text.TextFont`; font_size: share of the shorter side; color: RGB. The text
    replaces colour and alpha of the RGBA picture (published: no blending), its alpha is round(opacity x
    255).
    """
    # On RGB the alpha channel would only be dropped again; the colours are the same without it.
    rgb = version.restores_mode and image.mode == "RGB"
    result = image.copy() if rgb else image.convert("RGBA")
    width, height = result.size
    mask, offset = font.glyphs(font.string(text), int(min(width, height) * font_size))
    # Pillow 8.3.2 truncates the position; later ones would render the fraction of a pixel into the glyphs.
    position = (int(x_pos * width + offset[0]), int(y_pos * height + offset[1]))
    pen = ImageDraw.Draw(result).draw
    ink = tuple(color) if rgb else (color[0], color[1], color[2], round(opacity * 255))
    pen.draw_bitmap(position, mask, pen.draw_ink(ink))
    return _finished(result, image, version)


def _finished(result, image, version):
    restore = version.restores_mode and result.mode != image.mode
    return result.convert(image.mode) if restore else result
