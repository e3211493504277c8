import io
import json

import numpy as np
import pytest
from PIL import Image

from encore.data.images import RejectedImage
from encore.systems.reid.evaluation_input import (
    evaluation_input,
    evaluation_size,
    input_of_bgr,
    normalised_planes,
)
from tests.encore.systems.reid.reid_pictures import png
from tests.golden_files import golden


@pytest.mark.parametrize("state", ["S", "H"])
def test_published_input_bit_for_bit(state):
    found = evaluation_input(golden("reid/image_128x64.png").read_bytes(), (256, 128))
    assert found.dtype == np.float32 and found.shape == (3, 256, 128)
    block = json.loads(golden("reid/parts_%s.json" % state).read_text())["eval_input_256x128"]
    flat = found.ravel().astype(np.float64)
    assert flat[:16].tolist() == block["first16"] and flat[-4:].tolist() == block["last4"]
    assert flat.sum() == pytest.approx(block["sum"], rel=1e-12)
    with np.load(str(golden("reid/parts_%s.npz" % state))) as parts:
        np.testing.assert_array_equal(found[:, ::4, ::4], parts["eval_input_256x128_sub4"])


def test_black_by_hand():
    black = normalised_planes(np.zeros((1, 1, 3), np.uint8))
    np.testing.assert_allclose(black.ravel(), [-2.1179, -2.0357, -1.8044], atol=5e-5)


def test_decoded_pictures_in_opencv_order_give_the_same():
    data = png(3, (20, 45))
    pixels = np.asarray(Image.open(io.BytesIO(data)))[:, :, ::-1]
    np.testing.assert_array_equal(input_of_bgr(pixels, (32, 16)), evaluation_input(data, (32, 16)))


def test_jpeg_with_an_orientation_is_turned_upright():
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 255
    tag, file = Image.Exif(), io.BytesIO()
    tag[0x0112] = 6  # the left side of the pixels is the top
    Image.fromarray(pixels).save(file, "JPEG", exif=tag.tobytes())
    found = evaluation_input(file.getvalue(), (16, 8))[0]
    assert found[:7].min() > 2 and found[9:].max() < -2


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_other_8_bit_pictures_are_read_as_rgb(mode):
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (255, 255, 255)).convert(mode).save(file, "PNG")
    assert evaluation_input(file.getvalue(), (4, 4)).min() > 2


def test_deep_and_broken_pictures_are_rejected():
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), 300, np.uint16)).save(file, "PNG")
    with pytest.raises(RejectedImage, match="mode I"):
        evaluation_input(file.getvalue(), (4, 4))
    with pytest.raises(RejectedImage, match="0 bytes"):
        evaluation_input(b"", (4, 4))


@pytest.mark.parametrize(
    "state, crop, expected",
    [("S", (40, 20), (32, 16)), ("H", (40, 20), (40, 20)), ("H", (0, 20), (32, 16)), ("H", None, (32, 16))],
)
def test_size(state, crop, expected):
    config = {"img_h": 32, "img_w": 16, "encore": {"state": state}}
    if crop:
        config["data_augmentation"] = {"crop_h": crop[0], "crop_w": crop[1]}
    assert evaluation_size(config) == expected
