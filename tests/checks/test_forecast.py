"""The forecast of a run, against figures worked out by hand and those of the specification."""

from __future__ import annotations

import json

import pytest
import yaml
from typer.testing import CliRunner

from checks.cli import app
from checks.forecast import command, isc_overlays, isc_track2
from checks.forecast.command import PUBLISHED_AMOUNTS, forecast_rows, read_amounts
from checks.forecast.curves import Curves
from checks.forecast.isc_track1 import forecast, v100
from checks.forecast.operations import (
    detector_multiply_adds,
    detector_parameters,
    multiply_adds,
    parameters,
)
from checks.forecast.rates import SEARCH_SHARE, Rate, Rates, read_rates
from checks.forecast.rows import BYTES_A_PICTURE, Amounts, Hardware
from checks.size import PROJECT
from encore.runtime.refusal import Refusal

SYSTEMS = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
PUBLISHED = SYSTEMS["isc_track1"]
MINI_SYSTEMS = yaml.safe_load((PROJECT / "mini" / "params.yaml").read_text(encoding="utf-8"))
MINI = MINI_SYSTEMS["isc_track1"]
AMOUNTS = Amounts(
    training=1000000, references=1000000, queries=50000, face_candidates=1000000, pair_queries=50000
)
GPU = Rate(1e12, "a GPU", on_gpu=True)
RATES = Rates(
    generated=Rate(20.0, "core"),
    proposed=Rate(2.0, "core"),
    faces=Rate(10.0, "core"),
    pasted=Rate(50.0, "core"),
    searched=GPU,
    searched_on_cpu=Rate(1e10, "process"),
    fused=Rate(1e6, "core"),
    trained=GPU,
    extracted=GPU,
    detected=GPU,
)
TEN = Hardware(cores=10, gpus=10)


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
    # 1M + 1M + 1.42M for 33 models at 3 scales and 3 pair models; 19M + 50,000 + 1M for 3
    assert found["extract"].amount == (99 + 3) * 3420000 + 3 * 20050000
    assert found["fuse"].amount == 3 * (11 * 3 + 1 + 1) * 1000000


def test_storage_agrees_with_the_figures_of_the_specification():
    found = rows()
    # 2.05 TB for three scales and 342 GB for 19 parts; beside them pair models, PCA matrices and names
    assert 2.05e3 + 342 < found["extract"].gigabytes < 1.06 * (2.05e3 + 342)
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


def test_descriptors_take_the_disk_that_the_stage_asks_for():
    from encore.runtime.parameters import read_parameters
    from encore.systems.isc_track1.extraction import ExtractParameters, disk_bytes
    from encore.systems.isc_track1.test_plan import TestPlan

    path = str(PROJECT / "params.yaml")
    plan = read_parameters(path, "isc_track1.test", TestPlan)
    extract = read_parameters(path, "isc_track1.extract", ExtractParameters)
    counts = {
        "training": 1000000,
        "references": 1000000,
        "queries": 1420000,
        "parts": 19000000,
        "original_queries": 50000,
    }
    asked = disk_bytes(plan.models(), plan, extract, counts, dict.fromkeys(plan.backbones, 8192))
    assert rows()["extract"].gigabytes == pytest.approx(asked / 1e9, rel=1e-9)


def test_pictures_that_only_train_the_pca_take_hours_but_no_descriptors():
    def with_pictures(count):
        pca = {**PUBLISHED["extract"]["pca"], "images": count}
        return rows({**PUBLISHED, "extract": {**PUBLISHED["extract"], "pca": pca}})["extract"]

    few, many = with_pictures(20000), with_pictures(120000)
    assert few.amount == many.amount and few.gigabytes == many.gigabytes
    one_scale = {
        **PUBLISHED["test"],
        "tags": ["blur_CC"],
        "pair_tags": [],
        "backbones": ["50"],
        "scales": [256],
    }
    work = multiply_adds(PUBLISHED["networks"]["resnet50"], 256)
    pictures = 20000 + 2000000 + 1420000
    assert rows({**PUBLISHED, "test": one_scale}, gpus=1)["extract"].hours == pytest.approx(
        pictures * work / 1e12 / 3600
    )
    assert many.hours > few.hours


def test_training_descriptors_beside_the_parts_are_copied_not_computed_again():
    one = {
        **PUBLISHED["test"],
        "tags": ["baseline_CC"],
        "pair_tags": [],
        "backbones": ["50"],
        "scales": [256],
    }
    found = rows({**PUBLISHED, "test": one}, gpus=1)["extract"]
    passed = 20000 + 3420000 + 19000000 + 50000
    assert found.hours == pytest.approx(
        passed * multiply_adds(PUBLISHED["networks"]["resnet50"], 256) / 1e12 / 3600
    )
    assert found.amount == 3420000 + 19000000 + 50000 + 1000000


def test_every_nth_query_leaves_the_others_out_of_all_that_follows():
    tenth = {**PUBLISHED, "crop_queries": {**PUBLISHED["crop_queries"], "every": 10}}
    found, whole = rows(tenth), rows()
    assert found["crop_queries"].amount == 5000
    assert found["crop_queries"].gigabytes == pytest.approx(whole["crop_queries"].gigabytes / 10)
    # 142,000 crops instead of 1.42M for 102 models, 5,000 queries instead of 50,000 for 3
    assert whole["extract"].amount - found["extract"].amount == 102 * 1278000 + 3 * 45000
    assert found["normalise"].amount == whole["normalise"].amount / 10


def test_only_what_is_searched_for_faces_counts():
    found = rows(cores=10)["faces"]
    assert found.amount == 900000  # the base set's classes are left out, the list of references is given
    assert found.hours == pytest.approx(900000 / 10 / 10 / 3600)
    searching = {**PUBLISHED, "faces": {**PUBLISHED["faces"], "face_del": None, "except_every": None}}
    assert rows(searching)["faces"].amount == 2000000


def test_given_pairs_are_copied_and_others_made():
    given, made = rows()["pairs"], rows(MINI)["pairs"]
    assert (given.amount, given.hours) == (2 * 4988, 0)  # of 4,991 pairs three are left out
    assert made.amount == 2 * 50000
    assert made.hours == pytest.approx(100000 / 20 / 20 / 3600)


def test_the_rate_of_the_cascade_is_not_that_of_the_other_detector():
    other = {**PUBLISHED, "faces": {**PUBLISHED["faces"], "detector": "face_recognition"}}
    assert rows(other)["faces"].hours is None


def test_the_mini_size_has_a_forecast_too():
    assert all(row.amount > 0 for stage, row in rows(MINI).items() if not stage.startswith("pretrain"))


# ---- the overlay detector and Track 2


@pytest.mark.parametrize(
    "shape",
    [
        {"layers": (1, 2, 1, 1), "width": 4, "channels": 8, "anchors": (8, 16, 32), "size": 96},
        {"layers": (1, 1, 2, 1), "width": 8, "channels": 4, "anchors": (8, 16, 32, 64, 128), "size": 160},
    ],
)
def test_multiply_adds_of_the_detector_agree_with_the_one_that_is_built(shape):
    import torch

    from benchmarks.detection import detector_multiply_adds as counted_in_a_forward_pass
    from encore.detection.retina_net import RetinaNetShape, build_retina_net

    built = build_retina_net(RetinaNetShape(**shape)).eval()
    frame = torch.zeros(1, 3, shape["size"], shape["size"], dtype=torch.uint8)
    assert detector_multiply_adds(shape) == counted_in_a_forward_pass(built, frame)
    assert detector_parameters(shape) == sum(values.numel() for values in built.parameters())


def test_the_overlay_detector_has_a_row_for_each_stage():
    found = {row.stage: row for row in isc_overlays.forecast(SYSTEMS["isc_overlays"], AMOUNTS, RATES, TEN)}
    of_one = detector_multiply_adds(SYSTEMS["isc_overlays"]["train"]["shape"])
    assert (found["generate"].amount, found["detect"].amount) == (20000, 50000)
    assert found["generate"].hours == pytest.approx(20000 / 50 / 10 / 3600)
    # 50 epochs of the whole batches of 16 among 19,000 pictures
    assert found["train"].amount == 50 * 18992
    assert found["train"].hours == pytest.approx(3 * 50 * 18992 * of_one / 1e12 / 3600)
    assert found["detect"].hours == pytest.approx(50000 * of_one / 1e12 / 3600)


def test_the_authors_detections_take_no_hours():
    given = {**SYSTEMS["isc_overlays"], "detect": {"detector": "published"}}
    assert isc_overlays.forecast(given, AMOUNTS, RATES, TEN)[-1].hours == 0


def test_a_generated_picture_takes_the_disk_that_the_stage_asks_for():
    from stages.isc_overlays import generate

    assert BYTES_A_PICTURE == generate.BYTES_A_PICTURE


def test_track_2_has_a_row_for_each_stage():
    found = {row.stage: row for row in isc_track2.forecast(SYSTEMS["isc_track2"], AMOUNTS, RATES, TEN)}
    assert found["generate"].amount == 2000000
    assert found["train"].amount == 25600000
    assert found["train"].gigabytes == pytest.approx(25 * 10.6 + 8, rel=0.02)  # the second head's classifier
    assert found["extract"].amount == 2 * 4 * 2050000
    assert found["extract"].gigabytes == pytest.approx(2 * 8, rel=0.15)  # about 8 GB a model
    # two models, each against references and training pictures, on the CPU however many GPUs there are
    assert found["test"].hours == pytest.approx(2 * 50000 * 2000000 * 256 / 1e10 / 3600)


def test_queries_that_are_made_are_counted_as_made():
    assert read_amounts(PROJECT / "mini", MINI_SYSTEMS).queries == 6 * 32 + 8 * 24
    assert read_amounts(PROJECT, SYSTEMS) == AMOUNTS == PUBLISHED_AMOUNTS


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
    # a multiply-add is two operations
    assert rates.trained == Rate(4e12, "make gpu-check: X, fp32", on_gpu=True)
    assert rates.proposed.value is None and "make bench" in rates.proposed.source


def gpu_record(folder):
    rows = [
        {
            "task": task,
            "mode": "fp32",
            "for_claims": True,
            "tflop_per_second": 8.0,
            "peak_tflop_per_second": 50,
        }
        for task in ("training", "extraction")
    ]
    (folder / "gpu.json").write_text(json.dumps({"device": "X", "throughput": rows}))
    return folder / "gpu.json"


def bench_record(folder, **results):
    (folder / "results.json").write_text(json.dumps({"results": results}))
    return folder / "results.json"


SEARCH = {"multiply_adds_per_second": 1e11, "ratio": 1.25}
DETECTION = {
    "faces_pictures_per_second": 24.0,
    "pasted_pictures_per_second": 140.0,
    "megapixels": 0.1875,
    "overlays_over_extraction": 0.5,
}


def test_a_gpu_is_not_taken_to_search_at_its_peak(tmp_path):
    record, results = gpu_record(tmp_path), bench_record(tmp_path)
    rate = read_rates(record, results).searched
    assert rate.value == 25e12 * SEARCH_SHARE and rate.on_gpu
    assert f"assumed: {SEARCH_SHARE:.0%} of the measured peak" in rate.source
    other = read_rates(record, results, search_share=0.1).searched
    assert other.value == pytest.approx(2.5e12) and "assumed: 10% of" in other.source


@pytest.mark.parametrize("share", [0, -0.5, 1.5])
def test_a_share_that_is_none_is_refused(tmp_path, share):
    with pytest.raises(Refusal, match="search share"):
        read_rates(None, bench_record(tmp_path), search_share=share)


def test_the_search_on_the_cpu_is_slower_than_its_bare_products(tmp_path):
    rates = read_rates(None, bench_record(tmp_path, score_normalisation=SEARCH))
    assert rates.searched == rates.searched_on_cpu and not rates.searched.on_gpu
    assert rates.searched.value == pytest.approx(8e10)
    assert "80% of bare products" in rates.searched.source
    with_gpu = read_rates(gpu_record(tmp_path), tmp_path / "results.json")
    assert with_gpu.searched_on_cpu.value == pytest.approx(8e10)


def test_rates_of_detection_come_from_its_benchmark(tmp_path):
    rates = read_rates(gpu_record(tmp_path), bench_record(tmp_path, detection=DETECTION))
    assert (rates.faces.value, rates.pasted.value) == (24.0, 140.0)
    assert "detection, pictures of 0.19 megapixels" in rates.faces.source
    assert rates.detected.value == 0.5 * rates.extracted.value and "assumed: 0.50" in rates.detected.source
    unmeasured = read_rates(tmp_path / "gpu.json", bench_record(tmp_path))
    assert unmeasured.faces.value is unmeasured.detected.value is None
    assert "make bench (detection)" in unmeasured.detected.source


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


def test_the_command_covers_all_systems_and_every_stage_has_hours_once_all_is_measured(tmp_path, monkeypatch):
    results = bench_record(
        tmp_path,
        generation_chain={"images_per_second": 90.0},
        reference_division={"search_milliseconds_a_picture": 500.0},
        fusion={"rows_per_second": 2e6},
        score_normalisation=SEARCH,
        detection=DETECTION,
    )
    monkeypatch.setattr(
        command, "read_rates", lambda record, **options: read_rates(record, results, **options)
    )
    shown = forecast_rows(PROJECT, 20, 33, gpu_record(tmp_path), search_share=0.2)
    assert {row["stage"].split()[0] for row in shown} == {"isc_track2", "isc_overlays", "isc_track1", "all"}
    assert all(row["hours"] is not None for row in shown)
    found = {row["stage"]: row for row in shown}
    assert "assumed: 20% of the measured peak" in found["isc_track1 normalise"]["basis"]
    assert found["isc_track1 faces"]["hours"] == pytest.approx(900000 / 24 / 20 / 3600, abs=0.01)
    assert shown[-1]["basis"].startswith("one stage after the other")


def test_the_sum_counts_the_start_of_every_process(monkeypatch):
    def summed(start_seconds):
        monkeypatch.setattr(command, "read_curves", lambda: Curves((), start_seconds))
        return forecast_rows(PROJECT, 20, 33)[-1]

    without, slow = summed(None), summed(3600.0)
    # Track 2: seven stages, of which two run for two models each; detector: three; Track 1: faces, pairs,
    # three backbones, eleven data sets, 36 runs, 36 groups of descriptors and of lists, queries, the fusion
    processes = (5 + 2 * 2) + 3 + (2 + 3 + 11 + 36 + 36 + 36 + 2)
    assert slow["hours"] - without["hours"] == pytest.approx(processes, abs=0.02)
    assert f"with {processes} processes that start in 3600.0 s each" in slow["basis"]
    assert "processes" not in without["basis"]


def test_hours_without_a_record_follow_the_run_that_is_forecast(tmp_path):
    def hours(iterations):
        section = {**PUBLISHED, "train": {**PUBLISHED["train"], "iterations": iterations}}
        section["test"] = {**PUBLISHED["test"], "pair_tags": []}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump({"isc_track1": section}))
        (tmp_path / "inputs.yaml").write_text((PROJECT / "inputs.yaml").read_text(encoding="utf-8"))
        return {row["stage"]: row["hours"] for row in forecast_rows(tmp_path, 20, 4)}["isc_track1 train"]

    assert hours(8000) == pytest.approx(33 * 24, abs=0.01)
    assert hours(4000) == pytest.approx(33 * 12, abs=0.01)


@pytest.mark.parametrize(
    ("dropped", "said"), [("face_images", "no entry face_images"), (None, "'normalise'")]
)
def test_what_the_forecast_lacks_is_named(tmp_path, dropped, said):
    inputs = yaml.safe_load((PROJECT / "inputs.yaml").read_text(encoding="utf-8"))
    inputs.pop(dropped, None)
    (tmp_path / "inputs.yaml").write_text(yaml.safe_dump(inputs))
    section = {key: value for key, value in PUBLISHED.items() if key != "normalise"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"isc_track1": section}))
    with pytest.raises(Refusal, match=said):
        forecast_rows(tmp_path, 20, 4)


def test_a_folder_without_any_system_is_refused(tmp_path):
    (tmp_path / "params.yaml").write_text("fkd: {}\n")
    result = CliRunner().invoke(app, ["forecast", str(tmp_path)])
    assert isinstance(result.exception, Refusal) and "isc_track1" in str(result.exception)
