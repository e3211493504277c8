"""Erased rectangles against those of the published class under Python 3."""

import json
import random

import numpy as np
import pytest
from golden_files import golden

from encore.data.augment.random_erasing import RandomErasing, Rectangle


class Scripted:
    """Draws that return given values in turn."""

    def __init__(self, *values):
        self.values = list(values)

    def uniform(self, low, high):
        return self.values.pop(0)

    randint = uniform


def test_published_rectangles_and_next_draws():
    with open(str(golden("reid/erasing_python3.json"))) as file:
        rows = json.load(file)["rows"]
    assert len(rows) > 50
    for row in rows:
        draws = random.Random(row["seed"])
        height, width = row["hw"]
        pixels = np.full((height, width, 3), 200, np.uint8)
        erased = RandomErasing()(pixels, draws)
        assert draws.random() == row["next_random"]
        expected = np.full_like(pixels, 200)
        if row["rect_top_left_h_w"] is not None:
            top, left, high, wide = row["rect_top_left_h_w"]
            expected[top : top + high, left : left + wide] = 0
        assert (erased == expected).all() and (pixels == 200).all()


def test_a_rectangle_by_hand():
    # 200 x 100: a share of .08 is 1600; aspect 4: height round(sqrt(6400)) = 80, width round(sqrt(400)) = 20
    draws = Scripted(0.6, 0.08, 4, 120, 0)
    assert RandomErasing().rectangle(200, 100, draws) == Rectangle(120, 0, 80, 20)
    assert RandomErasing().rectangle(200, 100, Scripted(0.601)) is None
    # the first try has height 20 in a picture of 20: not below it, so it is drawn again
    draws = Scripted(0, 0.1, 1, 0.1, 0.4, 3, 4)
    assert RandomErasing().rectangle(20, 200, draws) == Rectangle(3, 4, 13, 32) and not draws.values


def test_none_after_all_tries():
    assert RandomErasing(tries=3).rectangle(20, 1, Scripted(0, 0.1, 1, 0.1, 1, 0.1, 1)) is None


@pytest.mark.parametrize("size", [(64, 32), (32, 64), (256, 128)])
def test_shares_are_within_their_limits(size):
    draws, found = random.Random(7), []
    for _ in range(400):
        found.append(RandomErasing().rectangle(size[0], size[1], draws))
    areas = [each.height * each.width / (size[0] * size[1]) for each in found if each is not None]
    assert 0.5 < len(areas) / 400 < 0.7 and 0.015 < min(areas) and max(areas) < 0.115
    assert all(each.top + each.height <= size[0] for each in found if each is not None)
