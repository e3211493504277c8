"""What an evaluation reports."""

from collections import namedtuple

import numpy as np

from encore.metrics.reported import reported, write_curve

Evaluation = namedtuple("Evaluation", "micro_ap recall_at_p90 threshold_at_p90")


def test_numbers_of_both_definitions_and_of_the_ranks():
    found = reported(Evaluation(0.5, 0.25, 0.9), Evaluation(0.4, 0.2, None), np.array([0, 3, 12, 2**35]))
    assert found == {
        "micro_ap_isc2021": 0.5,
        "micro_ap_platform": 0.4,
        "recall_at_p90_platform": 0.2,
        "recall_at_p90_isc2021": 0.25,
        "threshold_at_p90_isc2021": 0.9,
        "recall_at_1": 0.25,
        "recall_at_10": 0.5,
    }


def test_a_precision_that_is_never_reached_has_no_number():
    found = reported(Evaluation(0.5, None, None), Evaluation(0.4, 0.0, None), np.array([0]))
    assert "recall_at_p90_isc2021" not in found and "threshold_at_p90_isc2021" not in found


def test_a_curve_as_csv(tmp_path):
    write_curve(str(tmp_path / "curve.csv"), (np.array([0.0, 0.5]), np.array([1.0, 0.75])))
    assert (tmp_path / "curve.csv").read_text() == "recall,precision\n0.0,1.0\n0.5,0.75\n"
