"""Opening pictures that may be broken or hostile."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib

from encore.runtime.bounded_file import read_bounded
from encore.runtime.refusal import Refusal

FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "TGA", "TIFF", "WEBP"
)
"""What pictures are read from. Pillow knows more, and starts a program for one of them (PostScript)."""
LARGEST_PICTURE = 1 << 28
"""Bytes of a file: 256 MiB, more than Pillow's limit of pixels takes."""
MOST_SCANS = 100
"""Of a JPEG, each of which goes over all of its pixels: programs write about ten."""
SCAN, END = b"\xda", b"\xd9"
MARKER = re.compile(b"\xff([^\x00\xff])", re.DOTALL)
"""Of a JPEG: among its numbers a byte 0 stands behind each FF."""
WITHOUT_LENGTH = frozenset([1, *range(0xD0, 0xD9)])
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

    Raises RejectedImage for an empty file, a file that is no picture of FORMATS, a truncated one, one that
    Pillow refuses as a decompression bomb (more than about 179 million pixels), and a JPEG of more than
    MOST_SCANS. Nothing is converted here.
    """
    if not data:
        raise RejectedImage("the file is empty (0 bytes)")
    return _opened(data, decode=True)


def open_image(path):
    """The PIL image of a file, its head read and its pixels not; RejectedImage as decode_image, also for a
    file that is not there, no plain one or too large."""
    try:
        data = read_bounded(path, LARGEST_PICTURE)
    except OSError as error:
        raise RejectedImage("it cannot be read: {}".format(error.strerror)) from None
    except Refusal as refusal:
        raise RejectedImage(str(refusal)) from None
    return _opened(data, decode=False)


def _opened(data, decode):
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a large picture, and of odd entries in its head
            image = Image.open(io.BytesIO(data))
            if image.format not in FORMATS:
                raise RejectedImage("a picture in the format {}, which is not read here".format(image.format))
            if image.format in ("JPEG", "MPO") and _scans(data) > MOST_SCANS:
                raise RejectedImage("a JPEG of more than {} scans".format(MOST_SCANS))
            if decode:
                image.load()
    except Image.DecompressionBombError as error:
        raise RejectedImage("too many pixels to open safely: {}".format(error)) from error
    except BAD as error:
        raise RejectedImage("not a readable picture: {}".format(_one_line(error))) from error
    return image


def _scans(data):
    """Scans of the JPEG that `data` begins with, or at least that many: another picture or a film may stand
    behind it."""
    scans, at = data.count(b"\xff" + SCAN), 2
    if scans <= MOST_SCANS:
        return scans
    scans, marker = 0, MARKER.search(data, at)
    while marker is not None and marker.group(1) != END:
        scans += marker.group(1) == SCAN
        at = marker.end()
        if marker.group(1)[0] not in WITHOUT_LENGTH:
            at += int.from_bytes(data[at : at + 2], "big")
        marker = MARKER.search(data, at)
    return scans


def _one_line(error):
    text = " ".join(str(error).split()) or type(error).__name__
    return text.replace("<_io.BytesIO object at ", "<").split(" <0x")[0][:200]
