"""The forecast of fkd, drip and reid, against figures worked out by hand; and of a run without GPUs."""

from __future__ import annotations

import dataclasses
import json

import pytest
import yaml
from typer.testing import CliRunner

from checks.cli import app
from checks.forecast import drip, fkd, isc_track1, isc_track2, reid
from checks.forecast.command import forecast_rows, read_counts, stage_rows
from checks.forecast.curves import Curve, Curves
from checks.forecast.networks import of_drip, of_section, resnet
from checks.forecast.rates import read_rates
from checks.forecast.rates_of import Rate, StepRate
from checks.forecast.rows import Hardware
from checks.size import PROJECT
from encore.runtime.refusal import Refusal
from tests.checks.test_forecast import AMOUNTS, MINI_SYSTEMS, RATES, SYSTEMS

TWO = Hardware(cores=16, gpus=2)
COUNTS = read_counts(
    PROJECT,
    (
        "labelled_training",
        "drip_training",
        "drip_references",
        "drip_queries",
        "reid_training",
        "reid_query",
        "reid_gallery",
    ),
)
COUNTS["reid_identities"] = 751
HOUR = 1e12 * 3600
"""Multiply-adds of an hour at the rate of RATES."""
FLAT = ((0.0, 0.0), (0.0, 0.0))


def rows(module, system, parameters=SYSTEMS, rates=RATES, hardware=TWO):
    return {row.stage: row for row in module.forecast(parameters[system], COUNTS, rates, hardware)}


def of_curve(seconds, name="curve"):
    """Curves of every subject that take so many seconds whatever the size, and a gigabyte."""

    class Same(Curves):
        def seconds(self, name):
            return Curve(name, seconds, 0.0, 0.0, FLAT, 0.0, 2.0, 10**7)

        def memory(self, name):
            return Curve(name, 1e9, 0.0, 0.0, FLAT, 0.0, 2.0, 10**7)

    return Same()


# ---- fkd


def test_fkd_counts_pictures_iterations_epochs_and_students():
    found = rows(fkd, "fkd")
    forward = of_section(SYSTEMS["fkd"]["network"], 224)
    assert found["squeeze"].hours == 0  # torchvision's weights
    assert found["recover"].amount == 50000 * 4000
    assert found["recover"].hours == pytest.approx(2 * 50000 * 4000 * forward / 2 / HOUR)
    assert found["relabel"].amount == 50000 * 300
    assert found["relabel"].hours == pytest.approx(50000 * 300 * forward / HOUR)
    # 1,000 classes in float16 and some bytes of crops: 2 kB a picture and epoch
    assert found["relabel"].gigabytes == pytest.approx(50000 * 300 * 2024 / 1e9)
    assert found["train"].amount == 4 * 50000 * 300 and found["train"].starts == 4


def test_labels_are_an_object_an_epoch():
    assert rows(fkd, "fkd")["relabel"].objects == 300 + 3


def test_own_squeeze_and_baselines_read_the_labelled_pictures():
    own = {**SYSTEMS["fkd"], "squeeze": {**SYSTEMS["fkd"]["squeeze"], "published": None}}
    own["baseline_names"] = ["random", "full"]
    found = rows(fkd, "fkd", {"fkd": own})
    assert found["squeeze"].amount == 90 * 1281167
    assert found["baseline"].amount == 300 * 50000 + 90 * 1281167


def test_the_teacher_of_online_distillation_costs_a_forward_pass():
    found, forward = rows(fkd, "fkd"), resnet("resnet18", 224, 224, classes=1000)
    assert found["train_kd"].hours == pytest.approx((3 + 1) * 300 * 50000 * forward / HOUR)


def test_recover_on_the_cpu_goes_by_its_own_benchmark():
    rates = dataclasses.replace(
        RATES,
        trained=StepRate(of_curve(1.0).seconds("x"), "cpu", 3),
        recovered=Rate(1e9, "make bench: recover"),
    )
    recipe = MINI_SYSTEMS["fkd"]["recover"]["recipe"]
    found = rows(fkd, "fkd", MINI_SYSTEMS, rates, Hardware(2, 0))["recover"]
    work = (
        10
        * recipe["images_per_class"]
        * recipe["iterations"]
        * of_section(MINI_SYSTEMS["fkd"]["network"], 16)
    )
    assert found.hours == pytest.approx(work / 1e9 / 3600) and found.basis == "make bench: recover"


@pytest.mark.parametrize("trained", [RATES.trained, StepRate(of_curve(1.0).seconds("x"), "cpu", 3)])
def test_a_teacher_that_is_not_counted_has_no_hours(trained):
    own = {**SYSTEMS["fkd"], "network": {**SYSTEMS["fkd"]["network"], "name": "densenet121"}}
    found = rows(fkd, "fkd", {"fkd": own}, dataclasses.replace(RATES, trained=trained), Hardware(2, 0))
    for stage in ("recover", "relabel", "train_kd"):
        assert found[stage].hours is None and "not measured" in found[stage].basis


# ---- drip


def test_stages_whose_end_the_losses_decide_have_an_interval_only():
    found = rows(drip, "drip")
    first, last = found["train TEST26_50k_nobias_l1"], found["train TEST26_1500k_nobias_l1"]
    step = of_drip(SYSTEMS["drip"]["network"], 160) + 50000 * 256
    assert first.hours is None and "1 to 200 epochs" in first.basis
    assert (first.low, first.high) == pytest.approx((3 * 50000 * step / HOUR, 3 * 200 * 50000 * step / HOUR))
    assert last.hours == pytest.approx(
        3 * 18 * 1500000 * (of_drip(SYSTEMS["drip"]["network"], 160) + 1500000 * 256) / HOUR
    )


def test_each_checkpoint_of_drip_holds_weights_and_both_moments():
    # three best and the last; 1,500,000 classes of 256 numbers and a backbone of some 4e7, in float32
    size = 4 * 3 * 4 * (1500000 * 256 + 4e7) / 1e9
    found_size = rows(drip, "drip")["train TEST26_1500k_nobias_l1"].gigabytes
    assert found_size == pytest.approx(size)


def test_views_are_made_beside_the_network_or_after_it():
    slow = dataclasses.replace(RATES, drip_augmented=Rate(100.0, "make bench: drip_augmentation"))
    views = 18 * 1500000
    found = rows(drip, "drip", rates=slow)["train TEST26_1500k_nobias_l1"]
    bare = rows(drip, "drip")["train TEST26_1500k_nobias_l1"]
    assert found.hours == pytest.approx(max(bare.hours, views / 100 / 16 / 3600))
    assert "augmentation not measured" in bare.basis and "augmentation" not in found.basis
    alone = rows(drip, "drip", MINI_SYSTEMS, slow)["train c160"]
    without = rows(drip, "drip", MINI_SYSTEMS)["train c160"]
    assert alone.hours == pytest.approx(without.hours + 36 * 160 / 100 / 3600)  # workers: 0


def test_a_backbone_that_is_not_counted_has_no_hours():
    other = {**SYSTEMS["drip"], "network": {**SYSTEMS["drip"]["network"], "backbone": "dm_nfnet_f0"}}
    found = rows(drip, "drip", {"drip": other})
    assert found["train TEST26_1500k_nobias_l1"].hours is None is found["infer"].hours
    assert "not measured" in found["infer"].basis


def test_resized_copies_have_room_and_objects_but_nobody_measured_their_hours():
    found = rows(drip, "drip")["pictures"]
    assert found.amount == 1000000 + 500000 + 50000 + 1000000 and found.hours is None
    assert found.objects == 2 * 255 + 3


# ---- reid


def test_persons_are_seen_by_epochs_or_by_iterations():
    found = rows(reid, "reid")
    assert found["train plain"].amount == 30 * 12936
    assert found["train triplet"].amount == 12000 * 128
    assert found["train pcb_global"].amount == (120 + 20) * 12936  # with the warm-up
    # five passes an epoch over 187 batches of 4 identities with 2 pictures each; 3 of 751 are left out
    assert found["train pcb_global_triplet"].amount == 5 * (120 + 20) * 187 * 8
    assert found["train plain"].hours == pytest.approx(3 * 30 * 12936 * resnet("resnet50", 256, 128) / HOUR)
    # two GPUs where the run asks for two
    forward = resnet("resnet50", 384, 128)
    assert found["train pcb"].hours == pytest.approx(3 * 30 * 12936 * forward / 2 / HOUR)


def test_a_student_waits_for_its_teacher():
    found = rows(reid, "reid")
    student, teacher = (resnet(name, 384, 128, last_stride=1) for name in ("resnet50", "resnet101"))
    assert found["train student"].hours == pytest.approx((3 * student + teacher) * 140 * 12936 / HOUR)


def test_persons_whose_number_nobody_knows_have_no_hours():
    counts = {**COUNTS, "reid_identities": None}
    found = {row.stage: row for row in reid.forecast(SYSTEMS["reid"], counts, RATES, TWO)}
    assert found["train pcb_global_triplet"].hours is None
    assert "no identities" in found["train pcb_global_triplet"].basis
    assert found["train triplet"].amount == 12000 * 128


def test_the_ranking_goes_by_measured_growth():
    found = rows(reid, "reid", rates=dataclasses.replace(RATES, curves=of_curve(3.6)))["evaluate"]
    bare = rows(reid, "reid")["evaluate"]
    # 8 runs: 4 rankings of 3,368 queries by fifties, and one re-ranking, 3.6 s each
    assert found.hours - bare.hours == pytest.approx(8 * (4 * 3368 / 50 + 1) * 3.6 / 3600)
    assert found.memory == pytest.approx(1.0) and bare.memory is None


# ---- growth in the forecast of ISC 2021


def test_generation_has_the_objects_of_its_shards_and_the_memory_of_its_workers():
    rates = dataclasses.replace(RATES, curves=of_curve(7200.0))
    found = {row.stage: row for row in isc_track2.forecast(SYSTEMS["isc_track2"], AMOUNTS, rates, TWO)}
    bare = {row.stage: row for row in isc_track2.forecast(SYSTEMS["isc_track2"], AMOUNTS, RATES, TWO)}
    assert found["generate"].objects == bare["generate"].objects == 2 * 400 + 3
    assert found["generate"].memory == pytest.approx(17)  # 16 workers and the one that leads them
    assert found["generate"].hours - bare["generate"].hours == pytest.approx(2 / 16)
    # 2 models x 4 scales x (20 + 20 + 1 chunks of 50,000) and a folder each
    assert found["extract"].objects == 2 * (4 * 41 + 1)


def test_track_1_makes_a_data_set_a_tag():
    found = {row.stage: row for row in isc_track1.forecast(SYSTEMS["isc_track1"], AMOUNTS, RATES, TWO)}
    assert found["generate"].objects == 11 * (2 * 400 + 3)


def test_the_vote_goes_by_measured_growth_where_there_is_some():
    rates = dataclasses.replace(RATES, curves=of_curve(36.0))
    found = {row.stage: row for row in isc_track1.forecast(SYSTEMS["isc_track1"], AMOUNTS, rates, TWO)}[
        "fuse"
    ]
    # 105 lists read, 35 votes, one final rule: 36 s each
    assert found.hours == pytest.approx((105 + 35 + 1) * 36 / 3600)
    assert "half of the rows" in found.basis


def test_verification_is_fifty_times_twenty_draws():
    rates = dataclasses.replace(RATES, curves=of_curve(36.0))
    found = isc_track2.verification(rates, 2)
    assert found.hours == pytest.approx((2 + 2 * 50) * 36 / 3600)
    assert isc_track2.verification(RATES, 2).hours is None


# ---- without GPUs


def test_without_gpus_networks_go_by_steps_on_the_cpu(tmp_path):
    (tmp_path / "results.json").write_text('{"results": {}}')
    rates = read_rates(results=tmp_path / "results.json", curves=of_curve(0.5), on_cpu=True)
    amounts = dataclasses.replace(AMOUNTS, training=192)
    assert isinstance(rates.trained, StepRate) and (rates.trained.passes, rates.extracted.passes) == (3, 1)
    found = {
        row.stage: row
        for row in isc_track2.forecast(MINI_SYSTEMS["isc_track2"], amounts, rates, Hardware(2, 0))
    }
    assert found["train"].hours == pytest.approx(10 * 120 * 0.5 / 3600)
    assert read_rates(results=tmp_path / "results.json", on_cpu=True).trained.value is None


def test_pre_training_on_the_cpu_is_counted_in_steps():
    rates = dataclasses.replace(RATES, trained=StepRate(of_curve(0.5).seconds("x"), "cpu", 3))
    amounts = dataclasses.replace(AMOUNTS, training=192)
    found = {
        row.stage: row
        for row in isc_track1.forecast(MINI_SYSTEMS["isc_track1"], amounts, rates, Hardware(2, 0))
    }
    # Barlow Twins: 16 epochs of 3 batches; Momentum^2: 5 epochs of 6, and the teacher's forward pass
    assert found["pretrain 50"].hours == pytest.approx(16 * 3 * 0.5 / 3600)
    assert found["pretrain 152"].hours == pytest.approx(5 * 6 * 0.5 * 4 / 3 / 3600)
    viewed = dataclasses.replace(rates, curves=of_curve(36.0))
    made = isc_track1.forecast(MINI_SYSTEMS["isc_track1"], amounts, viewed, Hardware(2, 0))
    assert {row.stage: row for row in made}["pretrain 50"].hours == pytest.approx((16 * 3 * 0.5 + 36) / 3600)


# ---- the command


def test_every_system_has_rows_in_the_command():
    result = CliRunner().invoke(app, ["forecast", str(PROJECT), "--json"])
    shown = json.loads(result.stdout)
    assert {row["stage"].split()[0] for row in shown} == set(SYSTEMS) & {
        "isc_track2",
        "isc_overlays",
        "isc_track1",
        "fkd",
        "drip",
        "reid",
    } | {"all"}
    assert shown[-1]["objects"] == sum(row["objects"] or 0 for row in shown[:-1])
    assert shown[-1]["memory"] == max(row["memory"] for row in shown[:-1] if row["memory"] is not None)
    assert all(row["low"] <= row["high"] for row in shown if row["low"] is not None)


def test_the_report_adds_up_isc_2021_alone():
    assert {row["stage"].split()[0] for row in forecast_rows(PROJECT, 20, 4)} == {
        "isc_track2",
        "isc_overlays",
        "isc_track1",
        "all",
    }


def test_every_row_says_what_it_rests_on():
    found, _ = stage_rows(PROJECT, 20, 4, further=True)
    assert all(row.basis for row in found)
    assert all(
        "not measured" in row.basis or "losses decide" in row.basis or "no hours" in row.basis
        for row in found
        if row.hours is None
    )


def test_a_data_set_that_is_not_counted_is_named(tmp_path):
    inputs = yaml.safe_load((PROJECT / "inputs.yaml").read_text(encoding="utf-8"))
    del inputs["reid_gallery"]
    (tmp_path / "inputs.yaml").write_text(yaml.safe_dump(inputs))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"reid": SYSTEMS["reid"]}))
    with pytest.raises(Refusal, match="no entry reid_gallery"):
        stage_rows(tmp_path, 20, 4, further=True)
