from __future__ import annotations

import json
import shutil

import pytest

from checks.cli import main
from checks.runs.compare import compare, remarks, table
from checks.runs.run_record import RunRecord
from tests.checks.toy_run import ToyRun, otherwise


@pytest.fixture
def runs(tmp_path):
    return ToyRun(tmp_path / "a"), ToyRun(tmp_path / "b", started="2")


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code


def test_equal_runs_end_with_status_0(runs, capsys):
    assert run("compare", runs[0].folder, runs[1].folder) == 0
    assert "the runs are the same: 4 stages" in capsys.readouterr().out


def test_runs_that_differ_end_with_status_1_and_the_cause(runs, capsys):
    runs[1].facts("train", processor="Example 2")
    otherwise(runs[1]).lock()
    assert run("compare", runs[0].folder, runs[1].folder) == 1
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1].startswith("first of 2 differences, by hardware: toy_train: ")
    assert "processor Example 1 → Example 2" in printed


def test_json_names_stage_and_kind(runs, capsys):
    otherwise(runs[1]).lock()
    assert run("compare", runs[0].folder, runs[1].folder, "--json") == 1
    value = json.loads(capsys.readouterr().out)
    assert (value["same"], value["first"]["stage"], value["first"]["kind"]) == (False, "toy_train", "chance")
    assert [row["state"] for row in value["stages"]] == ["same", "same", "differs", "differs"]


def test_a_folder_is_compared_with_a_record_of_another_machine(runs, tmp_path, capsys):
    path = tmp_path / "record.json"
    RunRecord.of_folder(runs[1].folder).write(path)
    assert run("compare", runs[0].folder, path) == 0
    otherwise(runs[0]).lock()
    assert run("compare", runs[0].folder, path) == 1
    assert "loss 0.5 → 0.25 (-0.25)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("break_it", "stage", "kind", "said"),
    [
        (
            lambda run: run.metrics("test", score=0.9, other=2),
            "toy_test",
            "data",
            "metrics/toy/test.json was",
        ),
        (lambda run: run.pictures(5), "toy_generate", "data", "6 → 5 images"),
        (lambda run: run.write("models/toy/net.pth", "other"), "toy_train", "data", "models/toy/net.pth was"),
    ],
)
def test_files_changed_after_the_run_are_named(runs, capsys, break_it, stage, kind, said):
    break_it(runs[1])
    assert run("compare", runs[0].folder, runs[1].folder, "--json") == 1
    first = json.loads(capsys.readouterr().out)["first"]
    assert (first["stage"], first["kind"]) == (stage, kind) and said in first["text"]


def test_another_pillow_is_named(runs, capsys):
    runs[1].pictures(6, brightness=30)
    runs[1].facts("generate", libraries={"PIL": "12.1.0"})
    runs[1].lock()
    assert run("compare", runs[0].folder, runs[1].folder) == 1
    assert "environment: Pillow 11.0.0 → 12.1.0" in capsys.readouterr().out.splitlines()[-1]


def test_the_table_says_what_differs_and_counts_what_did_not_matter(runs):
    runs[1].code["stages/toy/generate.py"] = "a comment more"
    runs[1].code["stages/toy/train.py"] = "another loss"
    otherwise(runs[1]).lock()
    rows = {row["stage"]: row for row in table(compare(runs[0].folder, runs[1].folder))}
    assert (rows["toy_generate"]["outputs"], rows["toy_generate"]["what went in"]) == ("same", "code (1)")
    assert rows["toy_train"]["what went in"] == "code: stages/toy/train.py"
    assert rows["toy_train"]["what differs"].startswith("models/toy/net.pth: other content")
    assert rows["inputs"] == {"stage": "inputs", "outputs": "same", "what differs": "", "what went in": ""}


def test_a_stage_of_one_run_has_its_row(runs):
    del runs[1].stages["toy_test"]
    rows = compare(runs[0].folder, runs[1].lock().folder).rows
    assert (rows[-1].stage, rows[-1].state) == ("toy_test", "only in the first")
    assert compare(runs[1].folder, runs[0].folder).rows[-1].state == "only in the second"


def test_what_cannot_be_compared_is_said(runs):
    assert list(remarks(compare(runs[0].folder, runs[1].folder))) == []
    shutil.rmtree(runs[1].folder / "models/toy/logs")
    (line,) = remarks(compare(runs[0].folder, runs[1].folder))
    assert line.startswith("not compared") and "models/toy/logs" in line


def test_a_folder_that_is_none_is_refused_in_one_line(runs, tmp_path, capsys):
    assert run("compare", runs[0].folder, tmp_path / "nowhere") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "nowhere: no such run record" in error
    (tmp_path / "empty").mkdir()
    assert run("compare", tmp_path / "empty", runs[0].folder) == 2
    assert "dvc.lock: no such file" in capsys.readouterr().err
