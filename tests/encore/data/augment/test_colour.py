"""Colour steps, worked by hand on single pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from encore.data.augment import colour


def pixel(*rgb):
    return Image.new("RGB", (2, 1), rgb)


def test_factor_ranges():
    assert colour.around_one(0.3) == (0.7, 1.3)
    assert colour.around_one(1.5) == (0.0, 2.5)
    assert colour.around_zero(0.2) == (-0.2, 0.2)
    assert colour.around_one(0) is colour.around_zero(0) is None


def test_brightness_contrast_saturation_by_hand():
    # Half way to black.
    assert colour.adjust_brightness(pixel(200, 100, 50), 0.5).getpixel((0, 0)) == (100, 50, 25)
    # Grey of (200, 100, 50) = 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2: mean 124; 124 + 1.5 * (200 -
    # 124) = 238.
    assert colour.adjust_contrast(pixel(200, 100, 50), 1.5).getpixel((0, 0)) == (238, 88, 13)
    # Half way to grey: (200 + 124) / 2 = 162, (100 + 124) / 2 = 112, (50 + 124) / 2 = 87.
    assert colour.adjust_saturation(pixel(200, 100, 50), 0.5).getpixel((0, 0)) == (162, 112, 87)


@pytest.mark.parametrize(
    "factor, shift", [(0.1, 25), (-0.1, 256 - 25), (0.0, 0), (0.5, 127), (-0.5, 256 - 127)]
)
def test_hue_turns_by_truncated_steps_of_one_255th(factor, shift):
    # 0.1 * 255 = 25.5 -> 25, -25.5 -> -25 = 231 modulo 256.
    image = Image.merge("HSV", [Image.new("L", (1, 1), v) for v in (100, 255, 255)]).convert("RGB")
    hue = image.convert("HSV").getpixel((0, 0))[0]
    turned = Image.merge("HSV", [Image.new("L", (1, 1), v) for v in ((hue + shift) % 256, 255, 255)]).convert(
        "RGB"
    )
    assert colour.adjust_hue(image, factor).getpixel((0, 0)) == turned.getpixel((0, 0))


def test_hue_leaves_grey_modes_alone():
    image = Image.new("L", (2, 2), 70)
    assert colour.adjust_hue(image, 0.4) is image


def test_grayscale_has_three_equal_channels_and_keeps_mode_l():
    assert colour.grayscale(pixel(200, 100, 50)).getpixel((0, 0)) == (124, 124, 124)
    assert colour.grayscale(Image.new("RGBA", (1, 1), (200, 100, 50, 0))).mode == "RGB"
    assert colour.grayscale(Image.new("L", (1, 1), 9)).mode == "L"


def test_colorize_maps_black_middle_and_white():
    ramp = Image.fromarray(np.array([[0, 127, 255]], np.uint8))
    out = colour.colorize(ramp, (10, 20, 30), (200, 210, 220), (90, 0, 255))
    assert [out.getpixel((x, 0)) for x in range(3)] == [(10, 20, 30), (90, 0, 255), (200, 210, 220)]


class Scripted:
    """Draws: a fixed order, then fixed factors."""

    def __init__(self, order, *factors):
        self.order, self.factors, self.ranges = order, list(factors), []

    def randperm(self, count):
        return self.order

    def uniform_(self, low, high):
        self.ranges.append((low, high))
        return self.factors.pop(0)


def test_jitter_goes_in_the_drawn_order_and_draws_only_for_given_ranges():
    jitter = colour.ColorJitter(brightness=(0.5, 1.5), saturation=(0.7, 1.3))
    draws = Scripted([3, 2, 1, 0], 0.8, 0.5)
    image = pixel(200, 100, 50)
    expected = colour.adjust_brightness(colour.adjust_saturation(image, 0.8), 0.5)
    assert jitter(image, draws).tobytes() == expected.tobytes()
    assert draws.ranges == [(0.7, 1.3), (0.5, 1.5)]


@given(st.floats(0.0, 3.0), st.sampled_from(["RGB", "L"]), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_tables_give_what_pillows_enhancers_give(factor, mode, seed):
    shape = (20, 30) if mode == "L" else (20, 30, 3)
    image = Image.fromarray(np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8))
    assert (
        colour.adjust_brightness(image, factor).tobytes()
        == ImageEnhance.Brightness(image).enhance(factor).tobytes()
    )
    assert (
        colour.adjust_contrast(image, factor).tobytes()
        == ImageEnhance.Contrast(image).enhance(factor).tobytes()
    )
