"""The corner moves of perspective_transform."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from encore.data.augment.perspective import perspective_coefficients, perspective_transform

NOISE = np.random.RandomState(42).normal(size=8).reshape(4, 2)


def test_the_fixed_noise():
    # As listed in the specification.
    listed = [0.496714, -0.138264, 0.647689, 1.523030, -0.234153, -0.234137, 1.579213, 0.767435]
    np.testing.assert_allclose(NOISE.ravel(), listed, atol=5e-7)


@given(st.integers(8, 600), st.integers(8, 600), st.floats(0.1, 3.0))
@settings(max_examples=40, deadline=None)
def test_moved_corners_are_mapped_back_to_the_pictures_corners(width, height, sigma):
    a, b, c, d, e, f, g, h = perspective_coefficients((width, height), sigma)
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    x, y = (corners + sigma * NOISE).T
    back = np.stack([(a * x + b * y + c), (d * x + e * y + f)]) / (g * x + h * y + 1)
    # The normal equations square the condition number: corners come back to a thousandth of a pixel.
    np.testing.assert_allclose(back.T, corners, atol=1e-3)


def test_the_noise_is_drawn_as_augly_draws_it():
    # normal(loc, sigma) for every coordinate in turn is loc + sigma x the unit noise, bit for bit.
    generator = np.random.RandomState(42)
    drawn = [generator.normal(loc, 3.7) for loc in (0, 0, 256, 0, 256, 256, 0, 256)]
    assert drawn == [
        loc + 3.7 * unit for loc, unit in zip((0, 0, 256, 0, 256, 256, 0, 256), NOISE.ravel().tolist())
    ]


def test_size_and_mode_are_kept_and_the_outside_is_black():
    image = Image.new("RGB", (64, 48), (200, 100, 50))
    out = perspective_transform(image, 6.0)
    assert (out.mode, out.size) == ("RGB", (64, 48))
    # The right and the bottom corner move inwards by 0.234 x 6 = 1.4 pixels, the left ones by up to 9.5.
    assert out.getpixel((63, 47)) == (0, 0, 0) and out.getpixel((40, 20)) == (200, 100, 50)
