import pytest

from encore.systems.isc_track1.query_boxes import query_boxes


def test_worked_example():
    assert query_boxes(101, 67) == {
        4: (25, 16, 75, 50),
        5: (16, 11, 50, 33),
        6: (50, 11, 84, 33),
        7: (16, 33, 50, 55),
        8: (50, 33, 84, 55),
    }


@pytest.mark.parametrize("side", list(range(1, 200)) + [1023, 4001])
def test_cuts_are_exact_fractions_cut_off(side):
    quarter, sixth = query_boxes(side, 1)[4], query_boxes(1, side)
    assert (quarter[0], quarter[2]) == (side // 4, 3 * side // 4)
    assert sixth[5][1::2] == (side // 6, 3 * side // 6)
    assert sixth[8][1::2] == (3 * side // 6, 5 * side // 6)
