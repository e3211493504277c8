"""The forecast of a Track 1 run, against figures worked out by hand and those of the specification."""

from __future__ import annotations

import json

import pytest
import yaml
from typer.testing import CliRunner

from checks.cli import app
from checks.forecast.isc_track1 import Amounts, Hardware, forecast, v100
from checks.forecast.operations import multiply_adds, parameters
from checks.forecast.rates import Rate, Rates, read_rates
from checks.size import PROJECT
from encore.runtime.refusal import Refusal

PUBLISHED = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))["isc_track1"]
MINI = yaml.safe_load((PROJECT / "mini" / "params.yaml").read_text(encoding="utf-8"))["isc_track1"]
AMOUNTS = Amounts(training=1000000, references=1000000, queries=50000)
GPU = Rate(1e12, "a GPU")
RATES = Rates(
    Rate(20.0, "core"), Rate(2.0, "core"), Rate(1e12, "make gpu-check: x"), Rate(1e6, "core"), GPU, GPU
)


def rows(values=None, rates=RATES, **hardware):
    hardware = Hardware(**{"cores": 20, "gpus": 4, **hardware})
    return {row.stage: row for row in forecast(values or PUBLISHED, AMOUNTS, rates, hardware)}


# ---- the network


@pytest.mark.parametrize(
    ("backbone", "count"), [("resnet50", 65487937), ("resnet152", 100123713), ("resnet_ibn50a", 65487937)]
)
def test_the_counted_parameters_are_those_of_the_specification(backbone, count):
    assert parameters(PUBLISHED["networks"][backbone]) == count


@pytest.mark.parametrize("side", [64, 200, 256])
def test_multiply_adds_agree_with_the_network_that_is_built(side):
    from benchmarks.gpu_check.multiply_adds import multiply_adds as counted_in_a_forward_pass
    from encore.models.isc_network import IscNetwork, IscShape

    shape = {"layers": [1, 2, 2, 1], "width": 4, "hidden": 32, "embedding": 64, "matrix": 8}
    built = IscShape(tuple(shape["layers"]), 4, 32, 64, 8)
    assert multiply_adds(shape, side, classes=12) == counted_in_a_forward_pass(
        lambda: IscNetwork(built, 12), side, side
    )
    assert multiply_adds(shape, side) == counted_in_a_forward_pass(
        lambda: IscNetwork(built), side, side, IscNetwork.descriptor
    )


# ---- amounts


def test_the_published_amounts_come_out():
    found = rows()
    assert found["generate"].amount == 22000000  # 11 sets of 2,000,000 pictures
    assert found["train"].amount == 33 * 25600000 + 3 * 25 * 800 * 128
    assert found["crop_queries"].amount == 50000
    # 20,000 + 1M + 1M + 1.42M for 33 models at 3 scales and 3 pair models; 19M + 50,000 + 1M + 20,000 for 3
    assert found["extract"].amount == (99 + 3) * 3440000 + 3 * 20070000
    assert found["fuse"].amount == 3 * (11 * 3 + 1 + 1) * 1000000


def test_storage_agrees_with_the_figures_of_the_specification():
    found = rows()
    # 2.05 TB for three scales and 342 GB for 19 parts; beside them pair models and what PCA is trained on
    assert 2.05e3 + 342 < found["extract"].gigabytes < 1.05 * (2.05e3 + 342)
    # 25 checkpoints of 10.6 GB (152: 11.0), 36 runs
    assert found["train"].gigabytes == pytest.approx(12 * 25 * (10.6 + 10.6 + 11.0), rel=0.01)


def test_hours_fall_with_the_hardware():
    one, many = rows(gpus=1, cores=1), rows(gpus=33, cores=20)
    assert one["generate"].hours == pytest.approx(22000000 / 20 / 3600)
    for stage, factor in (("generate", 20), ("train", 33), ("extract", 33), ("normalise", 33), ("fuse", 1)):
        assert one[stage].hours == pytest.approx(factor * many[stage].hours)


def test_the_v100_of_the_authors_takes_a_day_a_run_and_three_hours_for_the_queries():
    rates = Rates(**{**vars(RATES), **v100(PUBLISHED, AMOUNTS)})
    only_runs = {**PUBLISHED, "test": {**PUBLISHED["test"], "pair_tags": []}}
    assert rows(only_runs, rates)["train"].hours == pytest.approx(33 * 24)
    assert rates.trained.source.startswith("published")


def test_weights_of_the_authors_cost_nothing_and_own_pre_training_weeks():
    assert [row.hours for stage, row in rows().items() if stage.startswith("pretrain")] == [0, 0, 0]
    own = {
        **PUBLISHED,
        "pretrain": {name: {"published": None} for name in ("resnet50", "resnet152", "resnet_ibn50a")},
    }
    assert rows(own, gpus=8)["pretrain 152"].hours == pytest.approx(14 * 24)


def test_what_nobody_measured_has_no_hours():
    rates = Rates(**{**vars(RATES), "proposed": Rate(None, "not measured")})
    assert rows(rates=rates)["crop_queries"].hours is None


def test_the_mini_size_has_a_forecast_too():
    assert all(row.amount > 0 for stage, row in rows(MINI).items() if not stage.startswith("pretrain"))


# ---- records


def test_rates_come_from_the_records(tmp_path):
    bench = {"results": {"generation_chain": {"images_per_second": 90.0}, "fusion": {"rows_per_second": 2e6}}}
    (tmp_path / "results.json").write_text(json.dumps(bench))
    throughput = [
        {
            "task": task,
            "mode": mode,
            "for_claims": mode == "fp32",
            "tflop_per_second": t,
            "peak_tflop_per_second": 50,
        }
        for task in ("training", "extraction")
        for mode, t in (("tf32", 99.0), ("fp32", 8.0))
    ]
    (tmp_path / "gpu.json").write_text(json.dumps({"device": "X", "throughput": throughput}))
    rates = read_rates(tmp_path / "gpu.json", tmp_path / "results.json")
    assert (rates.generated.value, rates.fused.value) == (90.0, 2e6)
    assert rates.trained == Rate(4e12, "make gpu-check: X, fp32")  # a multiply-add is two operations
    assert rates.searched.value == 25e12
    assert rates.proposed.value is None and "make bench" in rates.proposed.source


def test_without_a_record_of_a_gpu_its_rates_are_unknown(tmp_path):
    (tmp_path / "results.json").write_text('{"results": {}}')
    assert read_rates(results=tmp_path / "results.json").trained.value is None


@pytest.mark.parametrize(("text", "said"), [(None, "no such record"), ("{", "not JSON")])
def test_a_record_that_cannot_be_read_is_refused_by_name(tmp_path, text, said):
    if text is not None:
        (tmp_path / "gpu.json").write_text(text)
    with pytest.raises(Refusal, match="gpu.json.*" + said):
        read_rates(tmp_path / "gpu.json")


# ---- the command


def test_the_command_prints_every_stage_and_the_sum():
    result = CliRunner().invoke(app, ["forecast", str(PROJECT), "--gpus", "33", "--json"])
    shown = json.loads(result.stdout)
    assert result.exit_code == 0 and shown[-1]["stage"] == "all"
    assert shown[-1]["gigabytes"] == pytest.approx(sum(row["gigabytes"] for row in shown[:-1]), abs=1)


def test_a_folder_without_the_system_is_refused(tmp_path):
    (tmp_path / "params.yaml").write_text("isc_track2: {}\n")
    result = CliRunner().invoke(app, ["forecast", str(tmp_path)])
    assert isinstance(result.exception, Refusal) and "isc_track1" in str(result.exception)
