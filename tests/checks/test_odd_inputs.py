"""Odd files end a command with status 2 and one line that names the file: status 1 means that a claim
deviates."""

from __future__ import annotations

import json

import pytest
import yaml

from checks.cli import main
from tests.checks.crate_project import change_lock, write_run

DEEP = "[" * 3000
FINGERPRINT, METRIC = "mini/fingerprints/toy/train.json", "mini/metrics/toy/test.json"
VERDICTS, INPUT = "mini/report/verdicts.json", "mini/inputs/photos.json"


@pytest.fixture
def ran(project):
    return write_run(project)


def run(capsys, project, command, *options):
    """(status, stderr) of a command on the project's mini folder."""
    places = [str(project.mini), "--claims", str(project.claims)]
    places = {"status": places[:1], "compare": places[:1] * 2}.get(command, places)
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([command, *places, *options])
    return end.value.code, capsys.readouterr().err


def refused(capsys, project, command, name):
    status, error = run(capsys, project, command)
    assert status == 2, (command, error)
    assert error.count("\n") == 1 and error.startswith("encore: ") and name in error
    assert "internal fault" not in error
    return error


def fingerprint(**changes):
    row = {"machine": "0" * 12, "finished": "2026-01-02T03:04:05+00:00", "system": "toy", "stage": "train"}
    return json.dumps({**row, "python": "3.11", **changes})


def test_the_project_as_it_is_passes_every_command(ran, capsys):
    for command in ("verify", "status", "compare", "crate"):
        assert run(capsys, ran, command) == (0, "")


PIPELINES = [
    b"\xff\xfe\x00",
    b"",
    b"stages: {toy_train: text}",
    b"stages: {toy_train: null}",
    b"stages: {toy_train: {foreach: '${gone}', do: {}}}",
    b"stages: {toy_train: {outs: [[a]]}}",
    b"stages: {a: {cmd: x}, a: {cmd: y}}",
]


@pytest.mark.parametrize("command", ["verify", "status", "compare", "crate"])
@pytest.mark.parametrize("data", PIPELINES)
def test_an_odd_pipeline(ran, capsys, command, data):
    (ran.mini / "dvc.yaml").write_bytes(data)
    refused(capsys, ran, command, "dvc.yaml")


@pytest.mark.parametrize("command", ["verify", "status", "compare", "crate"])
@pytest.mark.parametrize("name", ["dvc.yaml", "params.yaml"])
def test_a_folder_in_place_of_a_file(ran, capsys, command, name):
    (ran.mini / name).unlink()
    (ran.mini / name).mkdir()
    refused(capsys, ran, command, name)


@pytest.mark.parametrize("command", ["verify", "status", "crate"])
@pytest.mark.parametrize("data", [b"", b"\x80", b"[1]", b"toy: {a: 1, a: 2}"])
def test_odd_parameters(ran, capsys, command, data):
    (ran.mini / "params.yaml").write_bytes(data)
    refused(capsys, ran, command, "params.yaml")


def test_a_pipeline_over_a_list_that_stands_in_it_is_followed(ran, capsys):
    path = ran.mini / "dvc.yaml"
    value = yaml.safe_load(path.read_text())
    value["stages"]["toy_more"] = {"foreach": ["a", True], "do": {"cmd": "x", "outs": ["more/${item}"]}}
    path.write_text(yaml.safe_dump(value))
    assert run(capsys, ran, "verify")[0] == 0
    assert run(capsys, ran, "status", "--stages") == (0, "") and run(capsys, ran, "crate")[0] == 0


@pytest.mark.parametrize("command", ["verify", "status", "compare", "crate"])
@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.update(outs=[{"path": 3}]),
        lambda row: row.update(deps=[{"path": ["x"], "md5": "0"}]),
        lambda row: row.update(outs=["models"]),
        lambda row: row.update(outs=3),
        lambda row: row.update(params=["a"]),
        lambda row: row.update(params={"params.yaml": ["a"]}),
        lambda row: row.update(outs=[{"path": "models/toy", "md5": 7}]),
        lambda row: row.pop("cmd"),
    ],
)
def test_an_odd_row_of_the_lock(ran, capsys, command, change):
    change_lock(ran, lambda stages: change(stages["toy_train"]))
    assert "stages.toy_train" in refused(capsys, ran, command, "dvc.lock")


@pytest.mark.parametrize("command", ["verify", "status", "compare", "crate"])
def test_an_output_without_md5_and_lists_that_are_empty_are_no_fault(ran, capsys, command):
    def change(stages):
        for stage in stages.values():
            for out in stage["outs"]:
                del out["md5"]
        stages["inputs"]["params"] = None
        stages["inputs"]["deps"] = None

    change_lock(ran, change)
    status, error = run(capsys, ran, command)
    assert status == 0 and error == ""


@pytest.mark.parametrize("command", ["verify", "compare", "crate"])
@pytest.mark.parametrize("text", ["", "{half", "[1]", "3"])
def test_an_odd_fingerprint(ran, capsys, command, text):
    ran.write(FINGERPRINT, text)
    refused(capsys, ran, command, FINGERPRINT)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"parameters": [1]}, "parameters"),
        ({"other_parameters": [1]}, "other_parameters"),
        ({"other_parameters": {"pairs": "x"}}, "other_parameters.pairs"),
        ({"item": {"a": 1}}, "item"),
    ],
)
@pytest.mark.parametrize("locked", [True, False])
def test_parameters_of_a_fingerprint_that_are_no_mapping(ran, capsys, changes, key, locked):
    ran.write(FINGERPRINT, fingerprint(**changes))
    if not locked:
        (ran.mini / "dvc.lock").unlink()
    assert f": {key}: expected" in refused(capsys, ran, "verify", FINGERPRINT)


@pytest.mark.parametrize(
    "changes",
    [
        {"finished": "yesterday", "wall_seconds": 1},
        {"finished": "yesterday"},
        {"wall_seconds": "long"},
        {"wall_seconds": 1e300},
        {"wall_seconds": float("inf")},
        {"libraries": [1]},
        {"image_digest": 3},
        {"environment": ["x"]},
        {"python": 3.11},
    ],
)
def test_a_fingerprint_of_which_a_crate_cannot_tell(ran, capsys, changes):
    ran.write(FINGERPRINT, fingerprint(**changes))
    refused(capsys, ran, "crate", FINGERPRINT)


@pytest.mark.parametrize("text", ['{"score": NaN}', '{"score": 1e999}', '{"score": "x"}', "[", DEEP])
@pytest.mark.parametrize("command", ["verify", "compare"])
def test_an_odd_metric(ran, capsys, command, text):
    ran.write(METRIC, text)
    refused(capsys, ran, command, METRIC)


VERDICT = {"id": "a", "metric": "m.json: k", "verdict": "reproduced", "system": "toy"}


@pytest.mark.parametrize("command", ["status", "crate"])
@pytest.mark.parametrize(
    "rows",
    [
        {"a": 1},
        [1],
        [{**VERDICT, "verdict": ["x"]}],
        [{**VERDICT, "system": {"x": 1}}],
        [{"id": "a"}],
    ],
)
def test_odd_verdicts(ran, capsys, command, rows):
    ran.write(VERDICTS, json.dumps(rows))
    refused(capsys, ran, command, VERDICTS)


@pytest.mark.parametrize("changes", [{"id": 3}, {"metric": None}, {"evidence": [1]}, {"detail": ["x"]}])
def test_odd_verdicts_of_which_a_crate_tells(ran, capsys, changes):
    ran.write(VERDICTS, json.dumps([{**VERDICT, **changes}]))
    refused(capsys, ran, "crate", VERDICTS)


@pytest.mark.parametrize("text", ["", "[1]", "{}", DEEP])
def test_an_odd_record_of_raw_data(ran, capsys, text):
    ran.write(INPUT, text)
    refused(capsys, ran, "crate", INPUT)


@pytest.mark.parametrize("changes", [{"count": "two"}, {"path": 3}, {"dataset": ["x"]}, {"bytes": None}])
def test_a_record_of_raw_data_with_an_odd_value(ran, capsys, changes):
    row = json.loads((ran.root / INPUT).read_text())
    ran.write(INPUT, json.dumps({**row, **changes}))
    assert f": {next(iter(changes))}: " in refused(capsys, ran, "crate", INPUT)


def test_a_document_that_is_no_text_and_links_that_are_none(tmp_path, capsys):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("[a](docs#x) http://[ [b](docs)")
    with pytest.raises(SystemExit) as end:
        main(["links", "--root", str(tmp_path), "--json"])
    assert end.value.code == 1
    assert json.loads(capsys.readouterr().out) == ["README.md:1: docs#x: no such heading"]
    (tmp_path / "README.md").write_bytes(b"\xff\xfe")
    with pytest.raises(SystemExit) as end:
        main(["links", "--root", str(tmp_path)])
    error = capsys.readouterr().err
    assert end.value.code == 2 and "README.md: not a document in UTF-8" in error and error.count("\n") == 1


def test_a_number_that_no_record_can_hold_is_refused_before_anything_is_written(ran, capsys):
    target = ran.root / "record.json"
    change_lock(ran, lambda stages: stages["toy_train"]["params"].update(p={"toy.train": float("nan")}))
    with pytest.raises(SystemExit) as end:
        main(["reference", str(ran.mini), "--output", str(target)])
    error = capsys.readouterr().err
    assert end.value.code == 2 and "a value that no record can hold" in error and not target.exists()
