"""Opening pictures that may be broken or hostile."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

from encore.runtime.bounded_file import file_size
from encore.runtime.refusal import Refusal

FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "TGA", "TIFF", "WEBP"
)
"""What pictures are read from. Pillow knows more, and starts a program for one of them (PostScript)."""
LARGEST_PICTURE = 1 << 28
"""Bytes of a file: 256 MiB, more than Pillow's limit of pixels takes."""
BAD = (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError, TypeError, AttributeError)
BAD += (RuntimeError, struct.error, zlib.error)
"""What Pillow raises of a damaged picture."""


class RejectedImage(Exception):
    """A picture that cannot be used; `reason` says why in one line."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


def decode_image(data):
    """Decode `data` (the bytes of one file) into a loaded PIL image in the file's own mode and size.

    Raises RejectedImage for an empty file, a file that is no picture of FORMATS, a truncated one, and one
    that Pillow refuses as a decompression bomb (more than about 179 million pixels). Nothing is converted
    here.
    """
    if not data:
        raise RejectedImage("the file is empty (0 bytes)")
    return _opened(io.BytesIO(data), decode=True)


def open_image(path):
    """The PIL image of a file, its head read and its pixels not; RejectedImage as decode_image, also for a
    file that is not there, no plain one or too large."""
    try:
        file_size(path, LARGEST_PICTURE)
    except OSError as error:
        raise RejectedImage("it cannot be read: {}".format(error.strerror)) from None
    except Refusal as refusal:
        raise RejectedImage(str(refusal)) from None
    return _opened(path, decode=False)


def _opened(file, decode):
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a large picture, and of odd entries in its head
            image = Image.open(file)
            if image.format not in FORMATS:
                raise RejectedImage("a picture in the format {}, which is not read here".format(image.format))
            if decode:
                image.load()
    except Image.DecompressionBombError as error:
        raise RejectedImage("too many pixels to open safely: {}".format(error)) from error
    except BAD as error:
        raise RejectedImage("not a readable picture: {}".format(_one_line(error))) from error
    return image


def _one_line(error):
    text = " ".join(str(error).split()) or type(error).__name__
    return text.replace("<_io.BytesIO object at ", "<").split(" <0x")[0][:200]
