import io
import struct
import zlib

import pytest
from PIL import Image

from encore.data.images import MOST_SCANS, RejectedImage, decode_image, open_image
from faults.hostile.picture_cases import jpeg_of_scans


def encoded(image, kind="PNG"):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def huge_png(side):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * ((side // 8 + 1) * 16))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_keeps_mode_and_size(mode):
    image = decode_image(encoded(Image.new(mode, (3, 2))))
    assert (image.mode if mode != "I;16" else image.mode[0], image.size) == (
        mode if mode != "I;16" else "I",
        (3, 2),
    )


def test_one_pixel_and_cmyk():
    assert decode_image(encoded(Image.new("RGB", (1, 1)))).size == (1, 1)
    assert decode_image(encoded(Image.new("CMYK", (4, 4)), "JPEG")).mode == "CMYK"


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "the file is empty"),
        (b"no picture", "not a readable picture"),
        (encoded(Image.effect_noise((64, 64), 50), "JPEG")[:700], "not a readable picture"),
        (encoded(Image.effect_noise((64, 64), 50))[:-300], "not a readable picture"),
        (huge_png(30000), "too many pixels"),
    ],
)
def test_rejects_by_reason(data, reason):
    with pytest.raises(RejectedImage) as error:
        decode_image(data)
    assert reason in error.value.reason and "\n" not in error.value.reason and "0x" not in error.value.reason


def test_a_jpeg_of_many_scans_is_rejected_before_it_is_decoded(tmp_path):
    scans = jpeg_of_scans(0, (16, 16)).count(b"\xff\xda")
    assert 1 < scans < 12
    assert decode_image(jpeg_of_scans(MOST_SCANS - scans, (16, 16))).size == (16, 16)
    data = jpeg_of_scans(MOST_SCANS - scans + 1, (16, 16))
    (tmp_path / "x.jpg").write_bytes(data)
    for use in (lambda: decode_image(data), lambda: open_image(str(tmp_path / "x.jpg"))):
        with pytest.raises(RejectedImage, match="a JPEG of more than 100 scans"):
            use()


def test_marks_behind_a_jpeg_and_in_its_comments_are_no_scans():
    mark = b"\xff\xda" * 200
    plain = encoded(Image.new("RGB", (16, 16)), "JPEG")
    comment = b"\xff\xfe" + struct.pack(">H", len(mark) + 2) + mark
    assert decode_image(plain[:2] + comment + plain[2:] + mark).size == (16, 16)


def test_an_opened_picture_is_not_decoded(tmp_path):
    data = encoded(Image.effect_noise((64, 64), 50), "JPEG")
    (tmp_path / "x.jpg").write_bytes(data[:1000])
    with open_image(str(tmp_path / "x.jpg")) as image:
        assert image.size == (64, 64)
