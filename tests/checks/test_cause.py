from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from checks.runs.cause import first_difference
from checks.runs.run_record import RunRecord
from tests.checks.toy_run import ToyRun, otherwise


@pytest.fixture
def reference(tmp_path):
    return ToyRun(tmp_path / "reference")


@pytest.fixture
def run(tmp_path):
    """A second run of the same on the same machine: only what is never equal differs."""
    return ToyRun(tmp_path / "run", started="2")


def difference(one, other, stages=None):
    return first_difference(RunRecord.of_folder(one.folder), RunRecord.of_folder(other.folder), stages)


def test_two_equal_runs_do_not_differ_by_their_times_and_logs(reference, run):
    run.facts("train", wall_seconds=99.0, finished="2027-01-02T03:04:05+00:00", machine="1" * 12, cores=64)
    run.write("plots/toy/loss.csv", "step,loss\n0,1.0000001\n")
    run.lock()
    assert (reference.folder / "dvc.lock").read_text() != (run.folder / "dvc.lock").read_text()
    assert difference(reference, run) is None


def test_inputs_that_differ_and_change_nothing_are_no_difference(reference, run):
    run.code["stages/toy/train.py"] = "with another comment"
    run.facts("train", processor="Example 2")
    assert difference(reference, run.lock()) is None


def test_a_picture_less_in_the_raw_data_is_data_of_the_first_stage(reference, run):
    run.input(count=5, bytes=90, names_sha256="other")
    run.pictures(5)
    run.metrics("generate", images=5)
    cause = difference(reference, otherwise(run).lock())
    assert (cause.stage, cause.kind) == ("inputs", "data")
    assert "photos: 6 → 5 pictures" in cause.text


def test_another_licence_of_the_raw_data_is_no_difference(reference, run):
    run.input(count=6, licence="another wording")
    assert difference(reference, run.lock()) is None


def test_a_manifest_with_one_image_less_is_data_and_names_set_and_counts(reference, run):
    run.pictures(5)
    run.metrics("generate", images=5)
    cause = difference(reference, otherwise(run).lock())
    assert (cause.stage, cause.kind) == ("toy_generate", "data")
    assert "data/pictures: 6 → 5 images of 2 → 2 classes" in cause.text
    assert "images 6 → 5 (-1)" in cause.text


def test_another_pillow_is_the_environment_of_the_generation_and_names_both_versions(reference, run):
    run.pictures(6, brightness=30)
    for stage in ("generate", "train", "test"):
        run.facts(stage, libraries={"PIL": "12.1.0"})
    cause = difference(reference, otherwise(run).lock())
    assert (cause.stage, cause.kind) == ("toy_generate", "environment")
    assert "data/pictures: 6 images of other content" in cause.text
    assert "environment: Pillow 11.0.0 → 12.1.0" in cause.text
    assert cause.evidence["environment"] == ["Pillow 11.0.0 → 12.1.0"]


def test_another_lock_of_the_libraries_is_the_environment(reference, run):
    run.code["locks/cpu.txt"] = "other wheels"
    cause = difference(reference, otherwise(run).lock())
    assert (cause.stage, cause.kind) == ("toy_train", "environment") and "locks/cpu.txt" in cause.text


def test_changed_code_is_named_by_its_file(reference, run):
    run.code["stages/toy/train.py"] = "with another loss"
    cause = difference(reference, otherwise(run).lock())
    assert (cause.stage, cause.kind) == ("toy_train", "code")
    assert "code: stages/toy/train.py" in cause.text and "models/toy/net.pth: other content" in cause.text


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"processor": "Example 2"}, "processor Example 1 → Example 2"),
        ({"blas": "SkylakeX"}, "BLAS kernels Haswell → SkylakeX"),
        ({"cpu_capability": "AVX512"}, "CPU capability AVX2 → AVX512"),
        ({"device": "NVIDIA V100"}, "device cpu → NVIDIA V100"),
        ({"threads": 8}, "threads 1 → 8"),
        ({"platform": "Linux-6.1-aarch64-with-glibc2.36"}, "architecture x86_64 → aarch64"),
    ],
)
def test_another_processor_is_hardware(reference, run, facts, said):
    run.facts("train", **facts)
    cause = difference(reference, otherwise(run).lock())
    assert (cause.stage, cause.kind) == ("toy_train", "hardware") and said in cause.text


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"python": "3.12.1"}, "Python 3.11.4 → 3.12.1"),
        ({"jpeg": "libjpeg 9.0"}, "JPEG library libjpeg-turbo 6.2 → libjpeg 9.0"),
        ({"platform": "Linux-6.1-x86_64-with-glibc2.40"}, "C library glibc2.36 → glibc2.40"),
        ({"libraries": {"torch": "2.6.0"}}, "torch 2.5.0 → 2.6.0"),
    ],
)
def test_another_library_is_the_environment(reference, run, facts, said):
    run.facts("train", **facts)
    cause = difference(reference, otherwise(run).lock())
    assert (cause.stage, cause.kind) == ("toy_train", "environment") and said in cause.text


def test_another_kernel_of_the_system_explains_nothing(reference, run):
    run.facts("train", platform="Linux-7.0-x86_64-with-glibc2.36", cores=64)
    assert difference(reference, otherwise(run).lock()).kind == "chance"


def test_other_parameters_are_the_recipe(reference, run):
    run.params["toy.train"]["epochs"] = 2
    cause = difference(reference, otherwise(run).lock())
    assert (cause.stage, cause.kind) == ("toy_train", "recipe")
    assert "recipe: toy.train.epochs 3 → 2" in cause.text


def test_another_seed_is_chance_and_named(reference, run):
    run.params["toy.train"]["seed"] = 7
    run.facts("train", seed=7)
    cause = difference(reference, otherwise(run).lock())
    assert (cause.stage, cause.kind) == ("toy_train", "chance")
    assert "chance: toy.train.seed 0 → 7" in cause.text


def test_the_seed_of_what_is_measured_is_the_recipe(reference, run):
    for one, seed in ((reference, 0), (run, 1)):
        one.params["toy.train"]["held_out"] = {"seed": seed}
        one.lock()
    cause = difference(reference, otherwise(run).lock())
    assert (cause.kind, cause.evidence["recipe"]) == ("recipe", ["toy.train.held_out.seed 0 → 1"])


def test_how_many_processes_work_is_suspected_last(reference, run):
    run.params["toy.train"]["workers"] = 8
    cause = difference(reference, otherwise(run).lock())
    assert (cause.kind, cause.evidence["recipe"]) == ("recipe", ["toy.train.workers 2 → 8"])
    run.facts("train", processor="Example 2")
    cause = difference(reference, run.lock())
    assert cause.kind == "hardware" and "also recipe: toy.train.workers 2 → 8" in cause.text


def test_nothing_different_going_in_is_chance_and_says_how_far_the_metrics_are(reference, run):
    cause = difference(reference, otherwise(run).lock())
    assert (cause.stage, cause.kind) == ("toy_train", "chance")
    assert "loss 0.25 → 0.5 (+0.25)" in cause.text
    assert "all that is on record of what went in is the same" in cause.text


def test_a_test_that_alone_came_out_otherwise_is_the_first_stage(reference, run):
    run.metrics("test", score=0.25, other=2)
    cause = difference(reference, run.lock())
    assert (cause.stage, cause.kind) == ("toy_test", "chance")
    assert cause.evidence["outputs"] == ["metrics/toy/test.json: score 0.5 → 0.25 (-0.25)"]


def test_of_several_causes_the_first_in_order_is_named_and_the_others_too(reference, run):
    run.params["toy.train"] = {"rate": 0.2, "epochs": 3, "seed": 3, "workers": 2}
    run.code["stages/toy/train.py"] = "other"
    run.facts("train", processor="Example 2", libraries={"torch": "2.6.0"})
    cause = difference(reference, otherwise(run).lock())
    assert cause.kind == "recipe"
    order = [kind for kind in cause.evidence if kind != "outputs"]
    assert order == ["recipe", "code", "environment", "hardware", "chance"]
    for text in ("rate 0.1 → 0.2", "stages/toy/train.py", "torch 2.5.0 → 2.6.0", "Example 2", "seed 0 → 3"):
        assert text in cause.text


def test_a_cause_of_another_kind_in_a_later_stage_is_named_as_well(reference, run):
    for stage in ("generate", "train", "test"):
        run.facts(stage, processor="Example 2")
    run.code["stages/toy/test.py"] = "another measure"
    cause = difference(reference, otherwise(run).lock())
    assert (cause.stage, cause.kind) == ("toy_train", "hardware")
    assert "later toy_test: code: stages/toy/test.py" in cause.text
    assert [(row["stage"], row["kind"]) for row in cause.evidence["later"]] == [("toy_test", "code")]


def test_only_the_stages_asked_for_are_compared(reference, run):
    cause = difference(reference, otherwise(run).lock(), stages={"toy_test"})
    assert cause.stage == "toy_test"
    assert difference(reference, run, stages={"inputs", "toy_generate"}) is None


def test_a_stage_that_one_run_lacks_is_said(reference, run):
    del run.stages["toy_test"]
    cause = difference(reference, run.lock())
    assert (cause.stage, cause.kind) == ("toy_test", "recipe")
    assert cause.text == "toy_test: the second run has no such stage"
    assert difference(run, reference).text == "toy_test: the first run has no such stage"


def test_a_missing_stage_comes_first_only_where_the_difference_needs_it(reference, run):
    del run.stages["toy_test"]
    cause = difference(reference, otherwise(run).lock())
    assert cause.stage == "toy_train" and "only one run has toy_test" in cause.text
    run.stages["toy_test"] = reference.stages["toy_test"]
    del run.stages["toy_train"]
    assert difference(reference, run.lock()).stage == "toy_train"


def test_a_file_exchanged_between_two_stages_is_data(reference, run):
    """The training's checkpoint was replaced and only the test ran again."""
    run.metrics("test", score=0.9, other=2)
    run.lock(toy_test={"models/toy/net.pth": "a net from elsewhere"})
    cause = difference(reference, run)
    assert (cause.stage, cause.kind) == ("toy_test", "data")
    assert "models/toy/net.pth was changed between the stage that wrote it and this one" in cause.text


def test_a_file_of_no_stage_is_data(reference, run):
    for one, text in ((reference, "one"), (run, "two")):
        one.stages["toy_train"] = {**one.stages["toy_train"], "deps": ["words.txt"]}
        one.write("words.txt", text)
        one.lock()
    cause = difference(reference, otherwise(run).lock())
    assert (cause.kind, cause.evidence["data"]) == ("data", ["words.txt"])


def test_an_input_that_only_one_run_reads_is_said(reference, run):
    run.stages["toy_train"] = {**run.stages["toy_train"], "deps": ["data/pictures", "inputs/photos.json"]}
    cause = difference(reference, otherwise(run).lock())
    assert cause.kind == "data" and "inputs/photos.json (new)" in cause.text
    assert "stages/toy/train.py (gone)" in cause.text


def test_canaries_that_differ_speak_for_the_hardware_where_nothing_else_does(reference, run):
    canary = {"key": "torch", "image_key": "pillow", "convolution forward (torch)": "bit-identical"}
    one = replace(RunRecord.of_folder(reference.folder), canary=canary)
    other = RunRecord.of_folder(otherwise(run).lock().folder)
    assert first_difference(one, other).kind == "chance"
    other = replace(other, canary={**canary, "convolution forward (torch)": "within"})
    cause = first_difference(one, other)
    assert cause.kind == "hardware" and "canary: convolution forward (torch)" in cause.text
    other = replace(other, canary={**canary, "image_key": "another pillow"})
    assert first_difference(one, other).kind == "environment"


def test_canaries_that_differ_are_named_beside_another_processor(reference, run):
    canary = {"key": "torch", "softmax": "bit-identical"}
    run.facts("train", processor="Example 2")
    one = replace(RunRecord.of_folder(reference.folder), canary=canary)
    other = replace(RunRecord.of_folder(otherwise(run).lock().folder), canary={**canary, "softmax": "within"})
    cause = first_difference(one, other)
    assert cause.kind == "hardware" and cause.evidence["canary"] == ["softmax"]


def test_a_run_without_its_fingerprints_says_that_it_cannot_tell(reference, run):
    otherwise(run).lock()
    (run.folder / "fingerprints/toy/train.json").unlink()
    said = "only one run has on record: the fingerprint (environment and hardware)"
    assert said in difference(reference, run).text


def test_a_fact_that_only_one_run_knows_is_said_and_is_no_cause(reference, run):
    run.facts("train", driver="535.1")
    cause = difference(reference, otherwise(run).lock())
    assert cause.kind == "chance" and cause.text.endswith("only one run has on record: driver")


def test_weights_and_logs_of_which_only_the_lock_is_left_are_no_difference(reference, run):
    run.write("models/toy/logs/checkpoint_0.pth", "other weights of epoch 0")
    run.lock()
    assert difference(reference, run).evidence["outputs"] == ["models/toy/logs: other content"]
    shutil.rmtree(run.folder / "models/toy/logs")
    assert difference(reference, run) is None
