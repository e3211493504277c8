import numpy as np
import pytest

from encore.detection.greedy_nms import greedy_nms


def test_by_hand():
    # With one pixel more a side: areas 100, 100, 64; 0 and 1 share 5 x 10 = 50 of 150 (1/3), 0 and 2 share 64
    # of 100, 1 and 2 share 3 x 8 = 24 of 140.
    boxes = [(0, 0, 9, 9), (5, 0, 14, 9), (0, 0, 7, 7)]
    assert greedy_nms(boxes, [0, 1, 2], 0.5) == [0, 1]
    assert greedy_nms(boxes, [2, 1, 0], 0.5) == [2, 1]
    assert greedy_nms(boxes, [0, 1, 2], 0.3) == [0]
    assert greedy_nms(boxes, [1, 2, 0], 0.64) == [1, 2, 0]


def test_an_overlap_of_exactly_the_limit_stays():
    assert greedy_nms([(0, 0, 9, 9), (0, 0, 9, 4)], [0, 1], 0.5) == [0, 1]
    assert greedy_nms([(0, 0, 9, 9), (0, 0, 9, 5)], [0, 1], 0.5) == [0]


def test_boxes_that_only_touch_share_a_row_of_pixels():
    # 10 x 1 of 10 x 10 + 10 x 2 - 10 = 110: 1/11.
    assert greedy_nms([(0, 0, 9, 9), (0, 9, 9, 10)], [0, 1], 0.09) == [0]
    assert greedy_nms([(0, 0, 9, 9), (0, 9, 9, 10)], [0, 1], 0.1) == [0, 1]


def test_no_boxes():
    assert greedy_nms([], [], 0.5) == []


@pytest.mark.parametrize("seed", range(20))
def test_equals_counting_pixels(seed):
    random = np.random.RandomState(seed)
    corners = np.sort(random.randint(0, 20, (12, 2, 2)), axis=2)
    boxes = [(x0, y0, x1, y1) for (x0, x1), (y0, y1) in corners.tolist()]
    order = random.permutation(len(boxes)).tolist()
    pixels = [{(x, y) for x in range(x0, x1 + 1) for y in range(y0, y1 + 1)} for x0, y0, x1, y1 in boxes]
    kept = []
    for i in order:
        if all(len(pixels[i] & pixels[j]) / len(pixels[i] | pixels[j]) <= 0.4 for j in kept):
            kept.append(i)
    assert greedy_nms(boxes, order, 0.4) == kept
