"""The same resized pixels on every Pillow: horizontal pass first."""

from __future__ import annotations

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from encore.data.augment.resample import resize


def noise(width, height, channels, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8))


def bilinear_axis(pixels, size):
    """Independent bilinear scaling of the last axis: uint8 pixels (..., n) -> (..., size).

    Weights are fixed-point with 22 binary places (8-bit pixels and 2 bits of headroom in 32), rounded half
    up.
    """
    n = pixels.shape[-1]
    scale = n / size
    reach = max(scale, 1.0)
    out = np.empty(pixels.shape[:-1] + (size,), np.uint8)
    for i in range(size):
        centre = (i + 0.5) * scale
        low, high = max(0, int(centre - reach + 0.5)), min(n, int(centre + reach + 0.5))
        weights = np.maximum(0.0, 1.0 - np.abs((np.arange(low, high) - centre + 0.5) / reach))
        fixed = (weights / weights.sum() * 2**22 + 0.5).astype(np.int64)
        out[..., i] = (pixels[..., low:high].astype(np.int64).dot(fixed) + 2**21) >> 22
    return out


def test_the_horizontal_pass_is_rounded_before_the_vertical_one():
    # Wider and lower at once: the case that Pillow 13 computes the other way round.
    image = noise(40, 56, 1)
    found, pixels = np.array(resize(image, (51, 49), Image.BILINEAR)), np.array(image)
    assert np.array_equal(found, bilinear_axis(bilinear_axis(pixels, 51).T, 49).T)
    assert not np.array_equal(found, bilinear_axis(bilinear_axis(pixels.T, 49).T, 51))


SIDE = st.integers(1, 90)


@given(SIDE, SIDE, SIDE, SIDE, st.sampled_from([1, 3, 4]), st.sampled_from([Image.BILINEAR, Image.BICUBIC]))
@settings(max_examples=60, deadline=None)
def test_equal_to_pillow_where_pillow_goes_horizontally_first(w, h, new_w, new_h, channels, resample):
    image = noise(w, h, channels)
    found = resize(image, (new_w, new_h), resample)
    assert found.mode == image.mode and found.size == (new_w, new_h)
    if int(PIL.__version__.split(".")[0]) < 13 or new_h >= h or new_w == w:
        assert found.tobytes() == image.resize((new_w, new_h), resample).tobytes()


@pytest.mark.parametrize("mode", ["P", "1"])
def test_palette_and_bilevel_pictures_are_scaled_with_nearest(mode):
    image = noise(30, 40, 3).convert(mode)
    assert resize(image, (41, 20)).tobytes() == image.resize((41, 20), Image.NEAREST).tobytes()


def test_a_side_below_one_is_an_error():
    for size in ((0, 5), (5, 0)):
        with pytest.raises(ValueError):
            resize(noise(10, 10, 3), size)
