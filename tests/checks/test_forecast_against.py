"""The forecast beside what a run recorded."""

from __future__ import annotations

import json
import math

import pytest
from typer.testing import CliRunner

from checks.cli import app
from checks.forecast.against import Compared, compare, recorded, summary
from checks.forecast.rows import Row
from checks.size import PROJECT
from encore.runtime.refusal import Refusal


def fingerprints(folder, **seconds):
    for name, value in seconds.items():
        path = folder.joinpath("fingerprints", *name.split("__")).with_suffix(".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"wall_seconds": value}))


def row(stage, seconds):
    return Row(stage, 1, "pictures", None if seconds is None else seconds / 3600, 0.0, "")


def test_the_items_of_a_stage_are_added_up(tmp_path):
    fingerprints(
        tmp_path, toy__train__a=3.0, toy__train__b=5.0, toy__test=1.0, toy__pretrain__50=7.0, toy__compare=1.0
    )
    compared, left = compare(
        [row("toy train", 4.0), row("toy test", None), row("toy pretrain 50", 7.0), row("toy fuse", 2.0)],
        recorded(tmp_path),
    )
    assert compared == [
        Compared("toy train", pytest.approx(4.0), 8.0, 2),
        Compared("toy test", None, 1.0, 1),
        Compared("toy pretrain 50", pytest.approx(7.0), 7.0, 1),
    ]
    assert [found.factor for found in compared] == [pytest.approx(2.0), None, pytest.approx(1.0)]
    assert left == ["toy compare"]


def test_the_error_is_the_median_factor_either_way():
    found = summary(
        [Compared(str(i), 1.0, factor, 1) for i, factor in enumerate([0.5, 2.0, 8.0])]
        + [Compared("x", None, 9.0, 1)]
    )
    assert found["rows"] == 3 and found["median_factor"] == pytest.approx(2)
    # |log2|: 1, 1, 3; about the median of 1: 2, 0, 2
    assert found["error_factor"] == pytest.approx(2)
    assert found["error_factor_beside_the_median"] == pytest.approx(4)
    assert (found["worst_stage"], found["worst_factor"]) == ("2", pytest.approx(8))
    assert (found["forecast_seconds"], found["measured_seconds"]) == pytest.approx((3, 10.5))


def test_a_forecast_that_is_right_has_no_error():
    found = summary([Compared(str(i), 2.0, 2.0, 1) for i in range(3)])
    assert found["error_factor"] == found["error_factor_beside_the_median"] == pytest.approx(1)
    assert math.isclose(found["worst_factor"], 1)


def test_nothing_to_compare_is_no_error():
    assert summary([Compared("x", None, 1.0, 1), Compared("copied", 0.0, 1.0, 1)]) == {"rows": 0}


def test_a_size_without_records_and_a_broken_one_are_refused(tmp_path):
    with pytest.raises(Refusal, match="no records of stages: .*make pull"):
        recorded(tmp_path)
    fingerprints(tmp_path, toy__train=1.0)
    (tmp_path / "fingerprints" / "toy" / "train.json").write_text("{}")
    with pytest.raises(Refusal, match="train.json: not the record of a stage"):
        recorded(tmp_path)


def test_the_command_compares_a_run(tmp_path):
    for name in ("params.yaml", "inputs.yaml"):
        (tmp_path / name).write_text((PROJECT / "mini" / name).read_text(encoding="utf-8"))
    fingerprints(tmp_path, isc_track2__train=100.0, isc_track2__compare=1.0)
    result = CliRunner().invoke(
        app, ["forecast", str(tmp_path), "--cores", "2", "--gpus", "0", "--against", "--json"]
    )
    shown = json.loads(result.stdout)
    (found,) = shown["rows"]
    assert (found["stage"], found["measured_seconds"], found["runs"]) == ("isc_track2 train", 100.0, 1)
    assert found["measured_over_forecast"] == pytest.approx(100 / found["forecast_seconds"], rel=0.01)
    assert shown["without_a_row"] == ["isc_track2 compare"] and shown["summary"]["rows"] == 1
    text = CliRunner().invoke(app, ["forecast", str(tmp_path), "--gpus", "0", "--against"]).stdout
    assert "without a row of the forecast: isc_track2 compare" in text and "error_factor" in text
