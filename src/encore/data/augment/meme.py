"""AugLy 0.1.10's meme_format on Pillow images: a caption on a coloured bar above the picture."""

from __future__ import annotations

from PIL import Image, ImageDraw

MARGIN = 10
"""Pixels of the bar that the text leaves free, of both its width and its height."""
SHRINK = 5
"""Step by which the font size falls until the text fits."""


def meme_format(image, text, font, text_color, caption_height, background, opacity=1.0):
    """Add a bar of `caption_height` pixels with `text` in its middle; returns the picture's mode.

    font: an `encore.data.augment.text.TextFont`; colours: RGB. The picture is RGB while text is drawn, so
    `opacity` has no effect (published). Raises ValueError where no font size above -1 lets the text fit.
    """
    width, height = image.size
    pixels, (text_width, text_height) = fitting_size(text, font, width - MARGIN, caption_height - MARGIN)
    meme = Image.new("RGB", (width, height + caption_height), tuple(background))
    meme.paste(image, (0, caption_height))
    mask, offset = font.glyphs(text, pixels)
    x = round((width - text_width) / 2) + offset[0]
    y = round((caption_height - text_height) / 2) + offset[1]
    pen = ImageDraw.Draw(meme).draw
    pen.draw_bitmap((x, y), mask, pen.draw_ink(tuple(text_color)))
    return meme if image.mode == "RGB" else meme.convert(image.mode)


def fitting_size(text, font, width, height):
    """The first font size from `height` down in steps of 5 that fits, and the (width, height) of the text.

    The height is that of a line, "A", whatever the text's own letters. Size 0 renders like size 1; Pillow
    fails below 0, as published.
    """
    for pixels in range(height, -1, -SHRINK):
        text_width = font.extent(text, pixels)[0]
        if text_width > width:
            continue
        text_height = font.line_height(pixels)
        if text_height <= height:
            return pixels, (text_width, text_height)
    raise ValueError("no font size lets {!r} fit into {}x{} pixels".format(text, width, height))
