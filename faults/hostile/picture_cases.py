"""Pictures that are bombs, programs or of another kind than their names say."""

from __future__ import annotations

import struct
import zlib

from faults.hostile.case import BOMB, CANARY, CODE, GARBLED, Case
from faults.hostile.samples import picture_bytes

PICTURE = ("picture", "png")
READABLE = "a picture of another kind is a picture"


def cases():
    found = [
        Case(CODE, "PostScript", _postscript, PICTURE),
        Case(BOMB, "PNG of 10^10 pixels", _png(100000, 100000), PICTURE),
        Case(BOMB, "PNG of 2^31 x 2^31 pixels", _png(2**31 - 1, 2**31 - 1), PICTURE),
        Case(BOMB, "PNG text of 1 GB", _png_text, PICTURE, "the text is left out, the picture is whole"),
        Case(BOMB, "GIF of 2^32 pixels", _gif, PICTURE),
        Case(BOMB, "JPEG of 65,500 x 65,500", _jpeg, PICTURE),
        Case(BOMB, "JPEG of 10,000 scans", _scans, PICTURE),
        Case(BOMB, "TIFF with 2^32 entries", _tiff, PICTURE),
    ]
    others = {"PNG": {}, "GIF": {"mode": "P"}, "BMP": {}, "TIFF": {}, "WEBP": {}}
    found += [
        _is(f"{form} under this name", picture_bytes(form, **options)) for form, options in others.items()
    ]
    found += [
        _is("16-bit PNG", picture_bytes("PNG", "I;16")),
        _is("CMYK JPEG", picture_bytes("JPEG", "CMYK")),
        _is("1-bit PNG", picture_bytes("PNG", "1")),
        _is("EXIF garbage", picture_bytes("JPEG", exif=b"Exif\0\0II*\0" + b"\xff" * 4000)),
    ]
    return found


def _is(name, data):
    return Case(GARBLED, name, _writing(data), PICTURE, READABLE)


def _writing(data):
    def make(sample, _):
        sample.write_bytes(data)

    return make


def _postscript(sample, around):
    head = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    sample.write_text(f"{head}({around / CANARY}) (w) file closefile\nshowpage\n")


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width, height):
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 20))
    chunks = _chunk(b"IHDR", head), _chunk(b"IDAT", rows), _chunk(b"IEND", b"")
    return _writing(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def _png_text(sample, _):
    squeeze = zlib.compressobj(9)
    text = b"".join([squeeze.compress(bytes(1 << 20)) for _ in range(1024)]) + squeeze.flush()
    data = picture_bytes("PNG")
    sample.write_bytes(data[:33] + _chunk(b"zTXt", b"Comment\0\0" + text) + data[33:])


def _gif(sample, _):
    data = bytearray(picture_bytes("GIF", "P"))
    data[6:10] = b"\xff" * 4
    sample.write_bytes(bytes(data))


def _jpeg(sample, _):
    data = bytearray(picture_bytes())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 65500, 65500)
    sample.write_bytes(bytes(data))


def _scans(sample, _):
    sample.write_bytes(jpeg_of_scans(10000, (160, 160)))


def jpeg_of_scans(further, size):
    """A progressive JPEG whose last scan stands there `further` times more."""
    data = picture_bytes(size=size, progressive=True)
    last = data[data.rindex(b"\xff\xc4", 0, data.rindex(b"\xff\xda")) : -2]
    return data[:-2] + last * further + b"\xff\xd9"


def _tiff(sample, _):
    entry = struct.pack("<HHII", 256, 4, 2**32 - 1, 8)
    sample.write_bytes(b"II*\0" + struct.pack("<IH", 8, 65535) + entry * 100)
