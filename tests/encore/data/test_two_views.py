import random

import numpy as np
import pytest
from PIL import Image

from encore.data.two_views import View, published_views


@pytest.mark.parametrize("size", [(40, 30), (3, 200), (1, 1)])
def test_views_have_the_size_and_follow_their_generator(size):
    image = Image.fromarray(np.random.RandomState(0).randint(0, 256, (size[1], size[0], 3)).astype(np.uint8))
    for view in published_views(24):
        first, again, other = (view(image, random.Random(seed)) for seed in (1, 1, 2))
        assert first.size == (24, 24) and first.mode == "RGB"
        assert np.array_equal(np.asarray(first), np.asarray(again))
        if size != (1, 1):
            assert not np.array_equal(np.asarray(first), np.asarray(other))


def test_the_second_view_is_solarised_in_a_fifth():
    white = Image.new("RGB", (16, 16), (250, 250, 250))
    view = View(16, blur=0.0, solarise=0.2)
    dark = sum(np.asarray(view(white, random.Random(seed))).mean() < 110 for seed in range(500))
    assert 70 <= dark <= 130  # 100 expected, 9 standard deviation
    assert all(np.asarray(View(16, blur=0.0)(white, random.Random(seed))).mean() > 110 for seed in range(100))
