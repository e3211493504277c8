"""Small pictures inside the page."""

from __future__ import annotations

import base64
import io


def thumbnail(data, side):
    """A data URI of the picture in `data` (bytes of an image file), at most `side` pixels wide and high;
    OSError for bytes that are no picture."""
    return _smaller(_decoded(data), side)


def side_by_side(data, side):
    """(height in pixels, data URIs of the square pictures that stand side by side in `data`).

    Pictures of at most `side` pixels stay as they are, without loss; larger ones become thumbnails. Raises
    ValueError where the width is no multiple of the height, OSError for bytes that are no picture.
    """
    strip = _decoded(data)
    height = strip.height
    if strip.width % height:
        raise ValueError(f"{strip.width} x {height} pixels are no row of squares")
    pictures = [strip.crop((x, 0, x + height, height)) for x in range(0, strip.width, height)]
    if height > side:
        return height, [_smaller(picture, side) for picture in pictures]
    return height, [_address(picture, "PNG") for picture in pictures]


def _decoded(data):
    from encore.data.images import RejectedImage, decode_image

    try:
        return decode_image(data).convert("RGB")
    except RejectedImage as error:
        raise OSError(error.reason) from None


def _smaller(picture, side):
    picture.thumbnail((side, side))
    return _address(picture, "JPEG", quality=85)


def _address(picture, file_format, **options):
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{file_format.lower()};base64,{text}"
