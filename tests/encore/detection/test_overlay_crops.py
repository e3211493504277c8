"""Against the crops that the published script made (`detections` of boxes.json)."""

import hashlib
import json
import zlib

import numpy as np
import pytest
from golden_files import golden
from PIL import Image

from encore.detection.overlay_crops import detection_crops, framed_without_padding
from encore.runtime.refusal import Refusal

SEED = 20210
GOLDEN = json.loads(golden("isc/boxes.json").read_text())["detections"]


def picture(size):
    stream = np.random.RandomState((zlib.crc32("img/{}x{}".format(*size).encode()) ^ SEED) & 0xFFFFFFFF)
    return Image.fromarray(stream.randint(0, 256, (size[1], size[0], 3)).astype(np.uint8))


def made():
    for case in GOLDEN["input"]:
        for j, crop in detection_crops(picture(case["size"]), np.array(case["detections"])):
            digest = hashlib.sha256(np.asarray(crop.convert("RGB")).tobytes()).hexdigest()[:16]
            yield ["{}_{}.jpg".format(case["name"][:-4], 1000 + j), list(crop.size), digest]


def test_names_sizes_and_pixels_are_the_published_ones():
    expected = [[name, size, digest] for name, _, _, size, _, digest in GOLDEN["made"]]
    assert len(expected) == 15
    assert sorted(made()) == sorted(expected)


def test_the_frame_has_the_published_size():
    for case in GOLDEN["input"]:
        stem = case["name"][:-4]
        operation = next(row[2] for row in GOLDEN["made"] if row[0].startswith(stem))
        size = framed_without_padding(picture(case["size"]), 640).size
        assert operation.startswith("resize:{}x{};".format(*size))


def test_the_rounding_is_half_to_even():
    rows = np.array([[0.5, 1.5, 2.5, 3.5, 0.9, 0]])
    ((j, crop),) = detection_crops(picture((8, 8)), rows, 8)
    assert j == 0
    assert (np.asarray(crop) == np.asarray(picture((8, 8)))[2:4, 0:2]).all()


def test_emojis_and_scores_up_to_a_hundredth_are_left_out():
    rows = np.array([[0, 0, 4, 4, 0.9, 1], [0, 0, 4, 4, 0.5, 0], [0, 0, 4, 4, 0.01, 0]])
    assert [j for j, _ in detection_crops(picture((8, 8)), rows, 8)] == [1]
    assert detection_crops(picture((8, 8)), rows[:0], 8) == []


def test_what_lies_outside_is_black():
    ((_, crop),) = detection_crops(picture((8, 8)), np.array([[-2, 0, 2, 4, 0.9, 0]]), 8)
    assert crop.size == (4, 4)
    assert (np.asarray(crop)[:, :2] == 0).all()


def test_a_box_without_a_pixel_is_refused():
    with pytest.raises(Refusal, match="detection 0 is a box of 0x4 pixels"):
        detection_crops(picture((8, 8)), np.array([[1.6, 0, 2.4, 4, 0.9, 0]]), 8)
