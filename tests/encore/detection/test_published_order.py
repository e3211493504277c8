import random
import sys

import numpy as np
import pytest

from encore.detection.published_order import equal_scores_order, set_order, tuple_hash

# Printed by Python 3.7 and numpy 1.16.
HASHES = {
    (0, 0, 0, 0): 4686581268940269811,
    (1, 2, 3, 4): 485696759010151909,
    (111, 71, 88, 78): 18436868286546886495,
    (1023, 767, 5, 0): 17454792820829982544,
}
SET_OF_SQUARES = [
    (9, 3, 9, 197),
    (100, 10, 30, 190),
    (441, 21, 63, 179),
    (64, 8, 24, 192),
    (16, 4, 12, 196),
    (529, 23, 69, 177),
    (1, 1, 3, 199),
    (36, 6, 18, 194),
    (144, 12, 36, 188),
    (49, 7, 21, 193),
    (484, 22, 66, 178),
    (361, 19, 57, 181),
    (196, 14, 42, 186),
    (121, 11, 33, 189),
    (25, 5, 15, 195),
    (4, 2, 6, 198),
    (225, 15, 45, 185),
    (324, 18, 54, 182),
    (256, 16, 48, 184),
    (81, 9, 27, 191),
    (400, 20, 60, 180),
    (289, 17, 51, 183),
    (0, 0, 0, 200),
    (169, 13, 39, 187),
]
EQUAL_40 = [
    0,
    22,
    23,
    24,
    25,
    26,
    27,
    28,
    21,
    29,
    31,
    32,
    33,
    34,
    35,
    36,
    37,
    30,
    20,
    19,
    18,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    16,
    17,
    38,
    39,
]


def test_hashes_of_python_3_7():
    assert {entry: tuple_hash(entry) for entry in HASHES} == HASHES


def test_set_of_python_3_7():
    assert set_order([(i * i, i, 3 * i, 200 - i) for i in range(24)]) == SET_OF_SQUARES


def test_sort_of_numpy_1_16():
    assert equal_scores_order(40) == EQUAL_40
    assert equal_scores_order(16) == list(range(16))
    assert equal_scores_order(0) == []


@pytest.mark.parametrize("count", [1, 17, 100, 5000])
def test_every_entry_comes_once(count):
    entries = [(i, i + 1, 2 * i, 7) for i in range(count)]
    assert sorted(set_order(entries)) == entries
    assert sorted(equal_scores_order(count)) == list(range(count))


@pytest.mark.skipif(sys.version_info[:2] != (3, 7), reason="sets of this Python have another order")
def test_equals_the_set_of_this_python():
    draws = random.Random(0)
    for count in list(range(60)) * 4 + [300, 2000]:
        entries = [tuple(draws.randrange(1024) for _ in range(4)) for _ in range(count)]
        grown, added = set(), []
        for entry in entries:
            if entry not in grown:
                added.append(entry)
                grown.add(entry)
        assert set_order(added) == list(grown)


@pytest.mark.skipif(np.__version__[:4] != "1.16", reason="this numpy sorts equal entries otherwise")
def test_equals_the_sort_of_this_numpy():
    for count in range(400):
        assert equal_scores_order(count) == np.argsort(np.ones(count)).tolist()
