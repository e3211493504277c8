"""Curves of measured growth: their interval, how far they reach, and what they add to a row."""

from __future__ import annotations

import json
import math

import pytest

from checks.forecast import curves
from checks.forecast.curves import NONE, Curve, Curves, read_curves
from checks.forecast.grown import data_set_objects, with_memory, with_objects, with_seconds
from checks.forecast.rates_of import Rate, StepRate
from checks.forecast.rows import Row, network_hours
from checks.size import PROJECT
from encore.runtime.refusal import Refusal

LINEAR = Curve("vote", 1.0, 2e-6, 1.0, ((0.0, 0.0), (0.0, 0.0)), 0.0, 2.0, 10**6)
BASIS = Row("fuse", 5, "rows", 1.0, 2.0, "make bench: fusion")


def test_a_cost_is_its_fixed_part_and_what_grows():
    found = LINEAR.at(10**6)
    assert (found.value, found.low, found.high) == pytest.approx((3.0, 3.0, 3.0))
    assert found.beyond == 0 and LINEAR.at(0).value == 0


def test_the_interval_is_that_of_the_fit_at_this_size():
    # variance of log a + b log n at n = e: 0.01 + 2 * 1 * -0.005 + 1 * 0.02, and 0.1 squared of a point
    curve = Curve("vote", 0.5, 2.0, 1.0, ((0.01, -0.005), (-0.005, 0.02)), 0.1, 2.0, 10)
    found = curve.at(math.e)
    factor = math.exp(2 * math.sqrt(0.02 + 0.01))
    assert found.value == pytest.approx(0.5 + 2 * math.e)
    assert (found.low, found.high) == pytest.approx((0.5 + 2 * math.e / factor, 0.5 + 2 * math.e * factor))


def test_an_uncertain_exponent_widens_the_interval_with_the_distance():
    curve = Curve("vote", 0.0, 1.0, 1.0, ((0.0, 0.0), (0.0, 0.0004)), 0.0, 2.0, 10**6)
    near, far = curve.at(10**6), curve.at(10**8)
    assert far.high / far.value > near.high / near.value > 1
    assert far.beyond == pytest.approx(2.0)


def test_beyond_two_decades_a_curve_says_nothing():
    assert LINEAR.at(10**8) is not None and LINEAR.at(1.01 * 10**8) is None


def test_hours_and_their_interval_are_added_and_the_source_is_named():
    wide = Curve("vote", 0.0, 3.6e-3, 1.0, ((0.0, 0.0), (0.0, 0.0)), math.log(2) / 2, 2.0, 10**6)
    row = with_seconds(BASIS, [(wide, 10**6, 2, 4)])
    # 3,600 s twice, four at a time: half an hour, between a quarter and a whole one
    assert (row.hours, row.low, row.high) == pytest.approx((1.5, 1.25, 2.0))
    assert row.basis == "make bench: fusion; growth: vote"


def test_an_extrapolation_is_marked_and_one_too_far_leaves_no_hours():
    near = with_seconds(BASIS, [(LINEAR, 10**7, 1, 1)])
    assert near.hours > 1 and "growth: vote (extrapolated 1.0 decades)" in near.basis
    far = with_seconds(BASIS, [(LINEAR, 10**9, 1, 1)])
    assert far.hours is far.low is far.high is None
    assert "1,000,000,000 is more than 2 decades above" in far.basis


def test_a_row_without_hours_and_a_subject_without_a_curve_change_nothing():
    unknown = Row("test", 5, "pairs", None, 2.0, "not measured")
    assert with_seconds(unknown, [(LINEAR, 10, 1, 1)]).hours is None
    assert with_seconds(BASIS, [(None, 10, 1, 1)]) == BASIS
    assert with_memory(BASIS, None, 10) == BASIS


def test_memory_is_that_of_all_processes_at_the_upper_end():
    curve = Curve("vote", 1e9, 1e3, 1.0, ((0.0, 0.0), (0.0, 0.0)), math.log(2) / 2, 2.0, 10**6)
    row = with_memory(BASIS, curve, 10**6, processes=3)
    assert row.memory == pytest.approx(3 * (1 + 2)) and row.basis.endswith("memory growth: vote")


def test_objects_of_a_data_set_are_two_a_shard_and_three():
    # 2,000,000 pictures, 5,000 a shard: 400 tars and 400 indexes; manifest, rejected.json, folder
    assert data_set_objects(2000000, 5000) == 803
    assert data_set_objects(1, 5000, sets=2) == 10
    assert with_objects(BASIS, 7).objects == 7


def test_a_data_set_has_the_objects_that_it_leaves(tmp_path):
    from benchmarks.growth.subjects import generation

    (tmp_path / "output").mkdir()
    generation.ready(str(tmp_path), 12000)()
    files = list((tmp_path / "output").iterdir())
    assert len(files) + 1 == data_set_objects(12000, generation.PER_OBJECT)


# ---- networks on the CPU


def test_a_step_on_the_cpu_costs_what_its_multiply_adds_say():
    rate = StepRate(Curve("training_step", 0.5, 1e-9, 1.0, LINEAR.covariance, 0.0, 2.0, 10**10), "cpu", 3)
    # 100 steps of 8 pictures, 1e8 multiply-adds each: 0.5 + 0.8 s
    assert network_hours(800, 10**8, 8, rate, 1, passes=3) == pytest.approx(100 * 1.3 / 3600)
    assert network_hours(800, 10**8, 8, rate, 1, passes=1) == pytest.approx(100 * 1.3 / 3 / 3600)
    assert network_hours(800, 10**13, 8, rate, 1, passes=3) is None
    assert network_hours(800, None, 8, rate, 1, passes=3) is None


def test_a_rate_shares_the_work_among_devices():
    assert network_hours(800, 10**8, 8, Rate(1e9, "x"), 2, passes=3) == pytest.approx(120 / 3600)


# ---- the record


def record(folder, **subjects):
    path = folder / "growth.json"
    path.write_text(json.dumps({"subjects": subjects, "starts": {"seconds": 2.5}}))
    return path


FIT = {
    "fixed": 0.5,
    "coefficient": 1e-6,
    "exponent": 1.0,
    "covariance": [[0.0, 0.0], [0.0, 0.0]],
    "residual": 0.01,
    "quantile": 2.0,
    "largest": 1000,
}


def test_curves_come_from_the_record(tmp_path):
    fits = {"time": FIT, "memory": {"most_bytes": 7e7, "verdict": "constant"}}
    found = read_curves(record(tmp_path, vote={"fits": fits, "points": [{"n": 10}, {"n": 1000}]}))
    assert found.seconds("vote").at(1000).value == pytest.approx(0.501)
    assert found.memory("vote").at(1000).high == 7e7
    assert found.seconds("fuse") is found.memory("fuse") is None
    assert found.start_seconds == 2.5


def test_a_record_that_is_not_there_has_no_curves(tmp_path):
    found = read_curves(tmp_path / "growth.json")
    assert found is NONE and found.seconds("vote") is None and found.start_seconds is None
    assert Curves().memory("vote") is None


@pytest.mark.parametrize("text", ["{", "[]", '{"subjects": {"vote": {"fits": {"time": {"fixed": 1}}}}}'])
def test_a_record_that_cannot_be_read_is_refused_by_name(tmp_path, text):
    (tmp_path / "growth.json").write_text(text)
    with pytest.raises(Refusal, match="growth.json: not a record of growth .*python -m benchmarks.growth"):
        read_curves(tmp_path / "growth.json")


def test_the_record_of_this_project_has_every_curve_that_the_forecast_asks_for():
    found = read_curves()
    asked = {
        "generation",
        "extraction",
        "descriptor_reading",
        "score_list_reading",
        "vote",
        "final_scores",
        "evidence_file",
        "bootstrap_interval",
        "label_store",
        "person_ranking",
        "k_reciprocal",
        "training_step",
        "two_views",
        "forward_pass",
    }
    assert curves.RECORD.is_relative_to(PROJECT)
    assert [name for name in sorted(asked) if found.seconds(name) is None or found.memory(name) is None] == []
