from __future__ import annotations

import json

import pytest
import yaml

from checks.runs.run_record import RunRecord
from encore.runtime.refusal import Refusal
from tests.checks.toy_run import ToyRun


@pytest.fixture
def run(tmp_path):
    return ToyRun(tmp_path / "run")


def test_a_record_holds_what_went_in_and_what_came_out(run):
    stages = RunRecord.of_folder(run.folder).stages
    assert list(stages) == ["inputs", "toy_generate", "toy_train", "toy_test"]
    generate = stages["toy_generate"]
    assert (generate.system, generate.stage, generate.item) == ("toy", "generate", "")
    assert generate.params["toy.generate.quality"] == 90
    assert generate.fingerprint["libraries.PIL"] == "11.0.0"
    assert (generate.fingerprint["c_library"], generate.fingerprint["architecture"]) == (
        "glibc2.36",
        "x86_64",
    )
    assert (generate.manifests["data/pictures"].count, generate.manifests["data/pictures"].classes) == (6, 2)
    assert "../stages/toy/generate.py" in generate.deps
    assert stages["inputs"].inputs["photos"]["count"] == 6
    assert stages["toy_test"].metrics == {"metrics/toy/test.json": {"score": 0.5, "other": 2}}


def test_durations_parameters_and_licences_are_not_part_of_it(run):
    text = repr(RunRecord.of_folder(run.folder))
    assert "wall_seconds" not in text and "licence" not in text


def test_it_says_when_a_stage_ended(run):
    assert RunRecord.of_folder(run.folder).stages["toy_test"].fingerprint["finished"].startswith("20")


def test_item_and_system_come_from_the_fingerprint(run):
    run.stages["toy_test"] = {"deps": [], "outs": ["fingerprints/toy/test/trained.json"]}
    run.facts("test/trained")
    stage = RunRecord.of_folder(run.lock().folder).stages["toy_test"]
    assert (stage.system, stage.stage, stage.item) == ("toy", "test", "trained")


def test_a_record_that_was_written_is_the_one_that_is_read(run, tmp_path):
    record = RunRecord.of_folder(run.folder)
    record.write(tmp_path / "deeper/record.json")
    assert RunRecord.of(tmp_path / "deeper/record.json") == record == RunRecord.of(run.folder)
    record.write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "deeper/record.json").read_bytes()


def test_what_stages_share_is_written_once(run, tmp_path):
    RunRecord.of_folder(run.folder).write(tmp_path / "record.json")
    value = json.loads((tmp_path / "record.json").read_text())
    assert [path for path, _ in value["files"].values()].count("../locks/cpu.txt") == 1
    assert len(value["fingerprints"]) == 2  # that of three equal stages, and none


def test_only_the_named_stages_are_read(run):
    (run.folder / "metrics/toy/test.json").write_text("no JSON")
    assert list(RunRecord.of_folder(run.folder, ["inputs", "toy_train"]).stages) == ["inputs", "toy_train"]


def test_a_run_whose_files_are_elsewhere_still_has_its_lock(run, tmp_path):
    """A clone holds dvc.lock, and no more until its artefacts are pulled."""
    alone = tmp_path / "clone"
    alone.mkdir()
    (alone / "dvc.lock").write_bytes((run.folder / "dvc.lock").read_bytes())
    record, whole = RunRecord.of_folder(alone), RunRecord.of_folder(run.folder)
    assert record.stages["toy_test"].metrics == {} and record.changed == {}
    assert record.stages["toy_test"].outs.keys() == whole.stages["toy_test"].outs.keys()


def test_an_output_that_was_changed_afterwards_is_told(run):
    run.write("models/toy/net.pth", "another net")
    (text,) = RunRecord.of_folder(run.folder).changed.values()
    assert text == "models/toy/net.pth was changed after its stage wrote it: 11 bytes instead of 7"


def test_the_canary_is_part_of_a_record_as_its_command_prints_it(run, tmp_path):
    row = {"operation": "softmax", "verdict": "within", "compared_with": "torch-2", "distance": {"ulp": 1}}
    report = {"key": "torch-2", "image_key": "pillow-11", "rows": [row], "verdict": "within", "notes": []}
    expected = {"key": "torch-2", "image_key": "pillow-11", "softmax (torch-2)": "within"}
    for value in (report, {"environment": [], "canary": report}):
        run.write("canary.json", json.dumps(value))
        record = RunRecord.of_folder(run.folder)
        assert record.canary == expected
    record.write(tmp_path / "record.json")
    assert RunRecord.of_file(tmp_path / "record.json").canary == expected


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("metrics/toy/test.json", "{"),
        ("metrics/toy/test.json", '{"score": "high"}'),
        ("metrics/toy/test.json", "[]"),
        ("fingerprints/toy/train.json", "{"),
        ("inputs/photos.json", "3"),
        ("data/pictures/manifest.json", "{}"),
        ("canary.json", '{"rows": 3}'),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_name(run, path, text):
    run.write(path, text)
    with pytest.raises(Refusal) as refusal:
        RunRecord.of_folder(run.folder)
    assert path in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda value: "half of it {", "not JSON"),
        (lambda value: [], "not a run record"),
        (lambda value: {**value, "format": "other/1"}, "not a run record"),
        (lambda value: {**value, "stages": None}, "not a whole run record"),
        (lambda value: {**value, "files": {}}, "not a whole run record"),
        (lambda value: {**value, "stages": {"toy_test": {"deps": "", "fingerprint": "0"}}}, "not a whole"),
    ],
)
def test_a_record_that_is_not_one_is_refused_by_name(run, tmp_path, change, said):
    path = tmp_path / "record.json"
    RunRecord.of_folder(run.folder).write(path)
    value = change(json.loads(path.read_text()))
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    with pytest.raises(Refusal) as refusal:
        RunRecord.of_file(path)
    assert said in str(refusal.value) and str(path) in str(refusal.value)


def test_a_record_with_an_unknown_or_missing_key_is_refused(run, tmp_path):
    path = tmp_path / "record.json"
    RunRecord.of_folder(run.folder).write(path)
    value = json.loads(path.read_text())
    value["stages"]["toy_train"]["colour"] = "red"
    path.write_text(json.dumps(value))
    with pytest.raises(Refusal, match="toy_train.colour: unknown key"):
        RunRecord.of_file(path)


def test_a_folder_that_never_ran_is_refused(tmp_path):
    with pytest.raises(Refusal, match="dvc.lock: no such file: nothing ran here yet"):
        RunRecord.of_folder(tmp_path)
    with pytest.raises(Refusal, match="no such run record"):
        RunRecord.of(tmp_path / "nowhere.json")


def test_a_stage_without_fingerprint_is_named_after_itself(run):
    value = yaml.safe_load((run.folder / "dvc.lock").read_text())
    value["stages"]["toy_more@b"] = {"cmd": ["one", "two"]}
    run.write("dvc.lock", yaml.safe_dump(value))
    stage = RunRecord.of_folder(run.folder).stages["toy_more@b"]
    assert (stage.system, stage.stage, stage.item, stage.cmd) == ("", "toy_more", "b", "one && two")
