import json

import numpy as np
import pytest
from golden_files import golden
from PIL import Image

from encore.systems.drip.clean_view import clean_view, normalised, three_channels

PUBLISHED = json.loads(golden("drip/ref_pipeline.json").read_text())


@pytest.mark.parametrize("photo", sorted(PUBLISHED))
def test_clean_view_has_the_published_pixels(photo):
    view = clean_view(Image.open(str(golden("drip/inputs/{}.png".format(photo)))))
    with Image.open(str(golden("drip/" + PUBLISHED[photo]["file"]))) as expected:
        assert np.array_equal(view, np.asarray(expected))


@pytest.mark.parametrize("photo", sorted(PUBLISHED))
def test_normalisation_has_the_published_numbers(photo):
    numbers = normalised(clean_view(Image.open(str(golden("drip/inputs/{}.png".format(photo))))))
    published = PUBLISHED[photo]
    assert str(numbers.dtype) == published["norm_dtype"] and numbers.shape == (3, 160, 160)
    assert numbers.flags.c_contiguous
    # To the last bit.
    expected = np.array(published["norm_first_row_first_4px"], dtype=np.float32)
    assert np.array_equal(numbers[:, 0, :4].T, expected)
    means = numbers.mean(axis=(1, 2), dtype=np.float64)
    assert means == pytest.approx(published["norm_mean"], abs=1e-12)


def test_a_view_is_no_bilinear_one():
    photo = Image.open(str(golden("drip/inputs/photo0.png")))
    bilinear = np.asarray(photo.resize((160, 160), Image.BILINEAR), dtype=int)
    assert np.abs(clean_view(photo) - bilinear).mean() > 0.5


def test_a_view_keeps_the_mode_and_not_the_aspect_ratio():
    assert clean_view(Image.new("L", (300, 100))).shape == (160, 160)
    assert clean_view(Image.new("CMYK", (100, 300))).shape == (160, 160, 4)
    assert clean_view(Image.new("RGB", (160, 160)), 64).shape == (64, 64, 3)


def test_imagenet_numbers_by_hand():
    # (255 - 123.675) / 58.395 = 2.2489..., (0 - 116.28) / 57.12 = -2.0357..., (103.53 - 103.53) / 57.375 = 0
    pixel = np.array([[[255, 0, 103.53]]])
    assert normalised(pixel)[:, 0, 0] == pytest.approx([2.2489082, -2.0357143, 0], abs=1e-6)


@pytest.mark.parametrize("mode, low, high", [("simple", 0, 1), ("centered", -1, 1)])
def test_other_modes(mode, low, high):
    numbers = normalised(np.array([[[0, 51, 255]]], dtype=np.uint8), mode)
    assert numbers.dtype == np.float32
    assert numbers[:, 0, 0] == pytest.approx([low, low + (high - low) * 0.2, high], abs=1e-6)


def test_an_unknown_mode_is_an_error():
    with pytest.raises(ValueError, match="expected a mode of imagenet, simple, centered, found 'other'"):
        normalised(np.zeros((2, 2, 3)), "other")


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 1)])
def test_one_channel_is_taken_three_times(shape):
    pixels = np.arange(10, dtype=np.uint8).reshape(shape)
    three = three_channels(pixels)
    assert three.shape == (2, 5, 3) and three.dtype == np.uint8
    assert all(np.array_equal(three[:, :, channel], pixels.reshape(2, 5)) for channel in range(3))
    assert normalised(pixels).shape == (3, 2, 5)


@pytest.mark.parametrize("channels", [3, 4, 5])
def test_of_more_channels_the_first_three_are_kept(channels):
    pixels = np.arange(2 * 5 * channels, dtype=np.uint8).reshape(2, 5, channels)
    assert np.array_equal(three_channels(pixels), pixels[:, :, :3])


@pytest.mark.parametrize("shape", [(4, 4, 2), (4, 4, 0), (4,), (1, 4, 4, 3)])
def test_two_channels_and_no_picture_are_errors(shape):
    with pytest.raises(ValueError, match="expected .height, width."):
        normalised(np.zeros(shape, np.uint8))


def test_the_input_is_left_as_it_was():
    pixels = np.full((2, 2, 3), 7, dtype=np.float32)
    for mode in ("imagenet", "simple", "centered"):
        normalised(pixels, mode)
    assert (pixels == 7).all()
