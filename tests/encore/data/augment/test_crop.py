"""RandomResizedCrop's boxes, worked by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from encore.data.augment.crop import RandomResizedCrop
from encore.data.augment.draws import Draws, TracedDraws


class Scripted:
    """Draws that return given values in turn."""

    def __init__(self, *values):
        self.values = list(values)

    def uniform_(self, low, high):
        return self.values.pop(0)

    torch_randint = uniform_


def test_a_box_by_hand():
    # 100 x 50 = 5000 pixels; a share of 0.5 is 2500; log ratio 0 means a square: 50 x 50, so top is 0.
    assert RandomResizedCrop(8).box((100, 50), Scripted(0.5, 0.0, 0, 37)) == (37, 0, 87, 50)


def test_a_box_that_does_not_fit_is_drawn_again():
    # A share of 1 of 100 x 50 as a square has sides round(sqrt(5000)) = 71 > 50; then 0.2:
    # round(sqrt(1000)) = 32.
    draws = Scripted(1.0, 0.0, 0.2, 0.0, 5, 9)
    assert RandomResizedCrop(8).box((100, 50), draws) == (9, 5, 41, 37)
    assert draws.values == []


@pytest.mark.parametrize(
    "size, box",
    [
        (
            (10, 100),
            (0, 43, 10, 56),
        ),  # ratio 0.1 < 3/4: height round(10 / 0.75) = 13, top (100 - 13) // 2 = 43
        ((100, 10), (43, 0, 56, 10)),  # ratio 10 > 4/3: width round(10 * 4/3) = 13
        ((90, 100), (0, 0, 90, 100)),  # an allowed ratio: all of it
    ],
)
def test_the_centre_box_by_hand(size, box):
    assert RandomResizedCrop(8).centre_box(size) == box


def test_ten_tries_then_the_centre():
    draws = TracedDraws(1)
    assert RandomResizedCrop(8).box((10, 1000), draws) == (0, 493, 10, 506)
    assert [entry[0] for entry in draws.trace] == ["torch.uniform_"] * 20


def test_log_ratio_is_correctly_rounded():
    # log(3/4) = -0.28768207245178...; its float32 neighbours are -0.28768205642700195 and
    # -0.28768208622932434.
    low, _ = RandomResizedCrop(8).log_ratio
    assert low == -0.28768208622932434
    assert abs(low - math.log(0.75)) < abs(-0.28768205642700195 - math.log(0.75))


@given(st.integers(1, 600), st.integers(1, 600), st.integers(0, 2**63 - 1))
@settings(max_examples=60, deadline=None)
def test_a_box_lies_inside_and_keeps_area_and_ratio(width, height, seed):
    left, top, right, bottom = RandomResizedCrop(8).box((width, height), Draws(seed))
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    w, h = right - left, bottom - top
    if (left, top, right, bottom) != RandomResizedCrop(8).centre_box((width, height)):
        assert (w + 0.5) * (h + 0.5) >= 0.2 * width * height
        assert (w - 0.5) / (h + 0.5) <= 4 / 3 + 1e-6 and (w + 0.5) / (h - 0.5) >= 3 / 4 - 1e-6


def test_the_result_has_the_size_and_is_the_bilinear_crop():
    image = Image.linear_gradient("L").convert("RGB")
    out = RandomResizedCrop(16)(image, Draws(3))
    box = RandomResizedCrop(16).box(image.size, Draws(3))
    assert out.size == (16, 16)
    assert out.tobytes() == image.crop(box).resize((16, 16), Image.BILINEAR).tobytes()
