"""What counts as the same run of the drip on another number of processes."""

import pytest

from faults.processes import drip


def left(first, last):
    return {"history": [{"trn_loss_step": first}, {"trn_loss_epoch": last}]}


@pytest.mark.parametrize(
    "other, near",
    [
        (left(9.0, 4.0), True),
        (left(9.00005, 4.07), True),  # 1.75 % of 4
        (left(9.001, 4.0), False),
        (left(9.0, 4.1), False),
        ({"history": left(9.0, 4.0)["history"] * 2}, False),
    ],
)
def test_the_first_loss_agrees_to_rounding_and_the_last_epoch_s_to_the_bound(other, near):
    assert drip.nearly(other, left(9.0, 4.0)) is near


def test_the_long_runs_are_for_the_whole_suite():
    assert list(drip.rows(False)) == []
