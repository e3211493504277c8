import pytest

from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.divisible import refuse_unless_divisible, surplus


def test_up_to_three_have_to_go():
    assert [surplus(count) for count in (100000, 100001, 100002, 100003, 100004, 3)] == [0, 1, 2, 3, 0, 3]


def test_a_count_that_does_not_divide_is_refused():
    refuse_unless_divisible(192, "set", "advice")
    with pytest.raises(Refusal, match="^set: 190 classes, expected a multiple of 4 .*: take two away$"):
        refuse_unless_divisible(190, "set", "take two away")
