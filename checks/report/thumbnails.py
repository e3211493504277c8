"""Small pictures inside the page."""

from __future__ import annotations

import base64
import io


def thumbnail(data, side):
    """A data URI of the picture in `data` (bytes of an image file), at most `side` pixels wide and high."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("RGB")
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
