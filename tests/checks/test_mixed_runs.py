"""Two runs mixed in one folder are refused; a run that is not finished, or was partly made again, is not."""

from __future__ import annotations

import hashlib
import json

import pytest
import yaml

from checks.cli import main
from checks.origin import this_machine
from checks.verify import verify
from encore.runtime.refusal import Refusal
from tests.checks.conftest import PIPELINE, claim_row

EARLY, LATE = "2026-01-02T03:00:00+00:00", "2026-01-02T04:00:00+00:00"
TRAIN, TEST = "fingerprints/toy/train.json", "fingerprints/toy/test.json"


def lock(project, taken="a" * 32, given="a" * 32, path="models/toy"):
    """A dvc.lock in which the test took `taken` of what the training gave as `given`."""
    stages = {
        "toy_train": {
            "cmd": "x",
            "outs": [
                {"path": "models/toy", "md5": given},
                {"path": TRAIN},
                {"path": "metrics/toy/train.json"},
            ],
        },
        "toy_test": {
            "cmd": "x",
            "deps": [{"path": "../stages/toy/test.py", "md5": "0" * 32}, {"path": path, "md5": taken}],
            "outs": [{"path": TEST}, {"path": "metrics/toy/test.json"}],
        },
    }
    project.write_yaml("mini/dvc.lock", {"schema": "2.0", "stages": stages})


@pytest.fixture
def run(project, monkeypatch):
    """A run whose training ended before its test; damage to its files is not what these tests are about."""
    project.set_fingerprint("toy/train", finished=EARLY)
    project.set_fingerprint("toy/test", finished=LATE)
    monkeypatch.setattr("checks.runs.cause.broken", lambda *_, **__: None)
    return project


def verdict(project):
    (found,) = verify(project.size())
    return found.verdict, found.detail


def test_a_test_on_a_model_that_the_training_before_it_did_not_give_is_refused_by_file_and_key(run, capsys):
    lock(run, taken="b" * 32)
    with pytest.raises(Refusal, match=r"dvc.lock: stages.toy_test.deps.models/toy: two runs are mixed"):
        verify(run.size())
    with pytest.raises(SystemExit) as end:
        main(["verify", str(run.mini), "--claims", str(run.claims)])
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.count("\n") == 1 and "restore one run whole" in error


def test_a_training_that_was_run_again_leaves_the_test_of_the_old_one_not_finished(run):
    lock(run, taken="b" * 32)
    run.set_fingerprint("toy/train", finished="2026-01-02T05:00:00+00:00")
    text = "not finished: toy_test has not run since toy_train gave another models/toy: `dvc repro`"
    assert verdict(run) == ("not attempted", text)


def test_a_training_that_gave_the_same_again_is_no_mixture(run):
    # As `dvc repro` leaves it after a change of a comment: a later training, whose test was not run again.
    lock(run)
    run.set_fingerprint("toy/train", finished="2026-01-02T05:00:00+00:00", revision="another")
    assert verdict(run) == ("reproduced", "")


def test_other_machines_and_revisions_in_one_run_are_no_mixture(run):
    lock(run)
    run.set_fingerprint("toy/train", finished=EARLY, machine="0" * 12, revision="another")
    assert verdict(run)[0] == "verified from artefacts"


def test_files_in_and_above_an_output_lead_to_its_stage_and_are_not_compared(run):
    for path in ("models/toy/weights.pth", "models"):
        lock(run, taken="b" * 32, path=path)
        assert verdict(run) == ("reproduced", "")


def test_claims_on_other_numbers_are_not_touched_by_a_mixture(run):
    lock(run, taken="b" * 32)
    run.write_yaml(
        "mini/dvc.yaml", {"stages": {**PIPELINE, "toy_free": {"metrics": ["metrics/toy/free.json"]}}}
    )
    run.set_claims(claim_row(metric={"file": "metrics/toy/free.json", "key": "score", "definition": "x"}))
    run.set_metric(0.5, file="metrics/toy/free.json")
    run.set_fingerprint("toy/free")
    assert verdict(run) == ("reproduced", "")


def fingerprint_md5(project, path):
    return hashlib.md5((project.mini / path).read_bytes()).hexdigest()


def test_a_test_run_by_hand_after_another_training_is_not_attempted_and_no_mixture(run):
    """`dvc repro -s toy_train` gave another model, and the test was run by hand on it: dvc.lock still speaks
    of the test before."""
    lock(run, taken="b" * 32)
    value = yaml.safe_load((run.mini / "dvc.lock").read_text())
    outs = {out["path"]: out for stage in value["stages"].values() for out in stage["outs"]}
    outs[TRAIN]["md5"], outs[TEST]["md5"] = fingerprint_md5(run, TRAIN), "0" * 32
    run.write_yaml("mini/dvc.lock", value)
    word, detail = verdict(run)
    assert word == "not attempted" and detail.startswith(
        "run outside DVC: the fingerprint of toy_test is not"
    )
    pipeline = run.mini / "dvc.yaml"
    assert detail.endswith(f"`dvc commit {pipeline}:toy_test` or `dvc repro {pipeline}`")
    outs[TEST]["md5"] = fingerprint_md5(run, TEST)  # DVC ran it: then it is a mixture
    run.write_yaml("mini/dvc.lock", value)
    with pytest.raises(Refusal, match="two runs are mixed"):
        verify(run.size())
    outs[TRAIN]["md5"] = "0" * 32
    run.write_yaml("mini/dvc.lock", value)
    assert verdict(run)[1].startswith("run outside DVC: the fingerprint of toy_train is not")


@pytest.mark.parametrize(
    "text", ["[1]", "stages: 3", "stages: {toy_test: {cmd: x, outs: [{md5: b}]}}", "a: ["]
)
def test_a_lock_that_is_none_is_refused(run, text):
    run.write("mini/dvc.lock", text)
    with pytest.raises(Refusal, match="dvc.lock"):
        verify(run.size())


def seeds(project, train, test, stated=0):
    sections = {"train": {"rate": 0.1, "seed": stated}, "test": {"seed": stated}}
    project.write_yaml("mini/params.yaml", {"toy": sections})
    for stage, seed in (("train", train), ("test", test)):
        record = {"machine": this_machine(), "finished": LATE, "system": "toy", "stage": stage}
        record["parameters"] = {"rate": 0.1, "seed": seed}
        project.write(f"mini/fingerprints/toy/{stage}.json", json.dumps(record))


def test_without_a_lock_stages_of_another_seed_than_the_others_are_refused(run):
    seeds(run, train=1, test=0)
    with pytest.raises(Refusal, match=r"train.json: parameters.seed: two runs are mixed .* ran with 1"):
        verify(run.size())


def test_one_seed_in_all_stages_is_one_run_whatever_params_yaml_says_by_now(run):
    seeds(run, train=1, test=1)
    assert verdict(run)[0] == "reproduced"
    seeds(run, train=1, test=1, stated=1)
    assert verdict(run)[0] == "reproduced"
