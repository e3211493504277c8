from __future__ import annotations

import hashlib
import json
import os

import pytest
import yaml

from checks import status
from checks.cli import main
from checks.pipeline_stages import pipeline_stages
from checks.size import PROJECT
from checks.status import DONE, NOT_RUN, STALE, ask_dvc, next_step, stage_states, system_rows
from encore.runtime.refusal import Refusal

PIPELINE = {
    "inputs": {"cmd": "host -m checks data --size ."},
    "toy_train": {"cmd": "python -m stages.toy.train"},
    "toy_test": {
        "matrix": {"set": "${toy.sets}", "k": [1, 2]},
        "cmd": "python -m stages.toy.test ${item.set}",
    },
    "pet_run": {"foreach": "${pet.runs}", "do": {"cmd": "python -m stages.pet.run ${key}"}},
}
PARAMETERS = {
    "toy": {"sets": ["a", "b"], "train": {"rate": 0.1, "steps": {"warm": 1}}},
    "pet": {"runs": {"x": 1}},
}
NAMES = ["inputs", "toy_train", "toy_test@a-1", "toy_test@a-2", "toy_test@b-1", "toy_test@b-2", "pet_run@x"]


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


class Run:
    """A size whose stages all ran."""

    def __init__(self, folder):
        self.folder = folder
        self.write("code.py", "1")
        self.lock = {
            "inputs": self.stage(["inputs/a.json"]),
            "toy_train": self.stage(["models/m"], ["inputs/a.json"]),
        }
        self.lock["toy_train"]["params"] = {"params.yaml": {"toy.train": PARAMETERS["toy"]["train"]}}
        for name in NAMES[2:]:
            self.lock[name] = self.stage([f"metrics/{name}.json"], ["models/m"])
        self.save(PARAMETERS)

    def write(self, path, text):
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)
        return {"path": path, "md5": md5(text)}

    def stage(self, outs, deps=()):
        known = [{"path": "code.py", "md5": md5("1")}, *({"path": path, "md5": md5(path)} for path in deps)]
        return {"cmd": "x", "deps": known, "outs": [self.write(path, path) for path in outs]}

    def save(self, parameters):
        (self.folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": PIPELINE}, sort_keys=False))
        (self.folder / "params.yaml").write_text(yaml.safe_dump(parameters))
        (self.folder / "dvc.lock").write_text(yaml.safe_dump({"stages": self.lock}))

    def states(self):
        return {row.stage: (row.state, row.why) for row in stage_states(self.folder)}


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def test_stages_are_those_of_every_item(run):
    assert list(pipeline_stages(run.folder).items()) == [
        ("inputs", "data"),
        *((name, "toy") for name in NAMES[1:6]),
        ("pet_run@x", "pet"),
    ]


def test_the_stages_of_the_mini_run_are_those_that_dvc_recorded():
    recorded = yaml.load((PROJECT / "mini/dvc.lock").read_text(), yaml.CSafeLoader)["stages"]
    assert set(recorded) <= set(pipeline_stages(PROJECT / "mini"))


def test_a_whole_run_is_done(run):
    assert run.states() == {name: (DONE, "") for name in NAMES}


def test_changed_code_makes_its_stages_stale(run):
    run.write("code.py", "2")
    assert set(run.states().values()) == {(STALE, "code.py changed since")}
    (run.folder / "code.py").unlink()
    assert set(run.states().values()) == {(STALE, "code.py is missing")}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"rate": 0.2, "steps": {"warm": 1}}, "toy.train.rate"),
        ({"rate": 0.1, "steps": {"warm": 2}}, "toy.train.steps.warm"),
        ({"rate": 0.1, "steps": {"warm": 1}, "new": None}, "toy.train.new"),
        ({"rate": 0.1}, "toy.train.steps"),
    ],
)
def test_a_changed_parameter_is_named(run, change, key):
    run.save({**PARAMETERS, "toy": {"sets": ["a", "b"], "train": change}})
    states = run.states()
    assert states.pop("toy_train") == (STALE, f"{key} changed since")
    assert set(states.values()) == {(DONE, "")}


def test_an_input_that_was_made_again_is_named(run):
    run.lock["toy_train"]["outs"][0]["md5"] = md5("another model")
    run.save(PARAMETERS)
    assert run.states()["toy_test@a-1"] == (STALE, "models/m was made again since")
    assert run.states()["toy_train"] == (DONE, "")


def test_a_stage_without_record_or_outputs_has_not_run(run):
    del run.lock["pet_run@x"]
    run.save(PARAMETERS)
    (run.folder / "metrics/toy_test@a-1.json").unlink()
    states = run.states()
    assert states["pet_run@x"] == (NOT_RUN, "never run here")
    assert states["toy_test@a-1"] == (NOT_RUN, "recorded in dvc.lock, its outputs are not here")
    (run.folder / "dvc.lock").unlink()
    assert {state for state, _ in run.states().values()} == {NOT_RUN}


def test_a_missing_output_is_named(run):
    run.lock["toy_train"]["outs"].append({"path": "models/n", "md5": "0"})
    run.save(PARAMETERS)
    assert run.states()["toy_train"] == (STALE, "models/n is missing")


def test_systems_are_counted_with_their_verdicts(run):
    rows = [{"system": "toy", "verdict": verdict} for verdict in ("reproduced", "reproduced", "deviates")]
    run.write("report/verdicts.json", json.dumps(rows))
    (run.folder / "metrics/toy_test@b-2.json").unlink()
    found = {row["system"]: row for row in system_rows(run.folder, stage_states(run.folder))}
    assert list(found) == ["data", "toy", "pet"]
    assert (found["toy"]["done"], found["toy"]["stale"], found["toy"]["not run"]) == (4, 0, 1)
    assert found["toy"]["first"].startswith("toy_test@b-2 is not run: recorded")
    assert found["toy"]["verdicts"] == {"reproduced": 2, "deviates": 1} and found["pet"]["verdicts"] == {}


def test_a_deviation_that_only_informs_is_called_so(run):
    rows = [{"system": "toy", "verdict": "deviates", "gating": gating} for gating in (False, True, False)]
    run.write("report/verdicts.json", json.dumps(rows))
    found = {row["system"]: row for row in system_rows(run.folder, stage_states(run.folder))}
    assert found["toy"]["verdicts"] == {"deviates (informative)": 2, "deviates": 1}


def test_what_comes_next_follows_the_run(run):
    def step():
        return next_step(run.folder, stage_states(run.folder))

    assert step().startswith(f"encore verify {run.folder}")
    run.write("report/verdicts.json", "[]")
    assert step().startswith(f"encore report {run.folder}")
    run.write("report/index.html", "")
    assert step() == f"nothing: open {run.folder / 'report/index.html'}"
    os.utime(run.folder / "report/verdicts.json", (1, 1))
    assert step().startswith("encore verify")
    (run.folder / "models/m").unlink()
    assert step().startswith(f"dvc repro {run.folder / 'dvc.yaml'}  (1 stages")
    (run.folder / "inputs/a.json").unlink()
    assert step().startswith(f"encore data --size {run.folder}")


def test_dvc_has_the_last_word_when_it_is_asked(run, monkeypatch):
    run.write("code.py", "2")
    states = stage_states(run.folder)
    said = {
        "toy_train": [{"changed deps": {"../code.py": "modified"}}],
        "sub/dvc.yaml:pet_run@x": ["changed command"],
    }
    monkeypatch.setattr(status, "ask", lambda *args, **options: (1, json.dumps(said), ""))
    found = {row.stage: (row.state, row.why) for row in ask_dvc(run.folder, states)}
    assert found["toy_train"] == (STALE, "code.py: modified") and found["pet_run@x"] == (
        STALE,
        "changed command",
    )
    assert found["inputs"] == (DONE, "")
    monkeypatch.setattr(status, "ask", lambda *args, **options: (255, "", "ERROR: locked"))
    with pytest.raises(Refusal, match="dvc status.*failed.*255.*locked"):
        ask_dvc(run.folder, states)


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("dvc.lock", "[]", "dvc.lock: expected a mapping with stages"),
        ("dvc.yaml", "[]", "dvc.yaml: expected a mapping with stages"),
        ("params.yaml", "toy: {}", r"stages.toy_test.matrix.set: \$\{toy.sets\} is no list or mapping"),
    ],
)
def test_a_damaged_file_is_refused_by_name(run, path, text, message):
    run.write(path, text)
    with pytest.raises(Refusal, match=message):
        stage_states(run.folder)


def test_damaged_verdicts_are_refused(run):
    run.write("report/verdicts.json", "[1]")
    with pytest.raises(Refusal, match="verdicts.json: not a list of verdicts: run `encore verify"):
        system_rows(run.folder, stage_states(run.folder))


def command(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(["status", *map(str, arguments)])
    assert end.value.code == 0
    return capsys.readouterr().out


def test_the_command_prints_a_table_the_reasons_and_the_next_step(run, capsys):
    (run.folder / "models/m").unlink()
    said = command(capsys, run.folder)
    assert "toy: toy_train is not run: recorded in dvc.lock" in said and "next: dvc repro" in said
    assert "toy_train: not run: recorded" in command(capsys, run.folder, "--stages")
    value = json.loads(command(capsys, run.folder, "--json"))
    assert [row["stage"] for row in value["stages"]] == NAMES and value["next"].startswith("dvc repro")


def test_a_folder_that_is_no_size_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["status", str(tmp_path)])
    error = capsys.readouterr().err
    assert end.value.code == 2 and "dvc.yaml: no such file" in error and error.count("\n") == 1
