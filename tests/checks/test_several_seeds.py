"""Verdicts on the mean of several runs, and the test behind them."""

from __future__ import annotations

import json
import math
import shutil

import numpy
import pytest

from checks.cli import main
from checks.several_seeds import LEVEL, mean_test
from checks.verify import runs_of, verify_runs
from encore.runtime.refusal import Refusal
from tests.checks.conftest import claim_row


@pytest.fixture
def runs(project):
    """A function that makes run folders of a project, one for each of the values, and verifies them."""

    def made(*values, **changes):
        folders = {}
        for seed, value in enumerate(values):
            folder = project.root / "runs" / f"seed{seed}"
            shutil.copytree(project.mini, folder, dirs_exist_ok=True)
            project.write(f"runs/seed{seed}/metrics/toy/test.json", json.dumps({"score": value}))
            fingerprint = json.loads((folder / "fingerprints/toy/test.json").read_text())
            fingerprint.update({"seed": seed, **changes})
            (folder / "fingerprints/toy/test.json").write_text(json.dumps(fingerprint))
            folders[str(seed)] = folder
        return folders

    return made


def only(project, folders):
    (verdict,) = verify_runs(project.size(), folders)
    return verdict


def test_the_test_by_hand():
    # 0.7, 0.8, 0.9 against an upper bound of 0.6: mean 0.8, s = 0.1, s/√3 = 0.0577350, t = 0.2/0.0577350 =
    # 3.4641016. Two degrees of freedom have P(T <= t) = 1/2 + t/(2 √(2 + t²)) = 1/2 + 3.4641016/(2 √14) =
    # 0.9629100, so p = 0.0370900.
    found = mean_test([0.7, 0.8, 0.9], 0.4, 0.6)
    assert found["t"] == pytest.approx(3.4641016) and found["p"] == pytest.approx(0.03709, abs=1e-6)
    assert (found["bound"], found["freedom"], found["rejects"], found["level"]) == (0.6, 2, True, 0.05)
    # The same distances below: 0.3, 0.2, 0.1 against 0.4.
    assert mean_test([0.3, 0.2, 0.1], 0.4, 0.6)["p"] == pytest.approx(0.03709, abs=1e-6)
    # Two runs have one degree of freedom: P(T <= t) = 1/2 + atan(t)/π. 0.65 and 0.75: mean 0.7,
    # s = 0.0707107, s/√2 = 0.05, t = 2, p = 1/2 − atan(2)/π = 0.1475836.
    found = mean_test([0.65, 0.75], 0.4, 0.6)
    assert found["p"] == pytest.approx(0.5 - math.atan(2) / math.pi) and not found["rejects"]


def test_there_is_no_test_inside_and_none_without_spread():
    assert mean_test([0.4, 0.6], 0.4, 0.6) is None
    assert mean_test([0.7, 0.7], 0.4, 0.6) is None


@pytest.mark.parametrize(("value", "verdict"), [(0.7, "not attempted"), (0.5, "reproduced")])
@pytest.mark.parametrize("better", [None, "higher"])
def test_runs_without_spread_say_so_and_never_deviate(project, runs, value, verdict, better):
    project.set_claims(claim_row(better=better))
    found = only(project, runs(value, value, value))
    assert (found.verdict, found.runs["test"]) == (verdict, None)
    assert found.detail == f"the 3 runs have no spread, all gave {value}: were they drawn anew?"


@pytest.mark.parametrize("value", [0.2, 0.55])
def test_a_damaged_run_is_not_averaged_whatever_its_value(project, runs, value):
    folders = runs(0.5, value, 0.5)
    stage = {"cmd": "x", "outs": [{"path": "metrics/toy/test.json", "md5": "0" * 32, "size": 3}]}
    project.write_yaml("runs/seed1/dvc.lock", {"schema": "2.0", "stages": {"toy_test": stage}})
    verdict = only(project, folders)
    assert (verdict.verdict, verdict.value, verdict.damaged) == ("not attempted", None, True)
    assert verdict.detail.startswith("run 1: metrics/toy/test.json was changed after its stage wrote it")
    assert (verdict.why["kind"], verdict.why["stage"]) == ("data", "toy_test")
    assert verdict.why["text"].startswith("run 1: metrics/toy/test.json was changed")


def test_runs_that_are_all_damaged_and_outside_do_not_deviate_without_a_value(project, runs):
    folders = runs(0.9, 0.95)
    stage = {"cmd": "x", "outs": [{"path": "metrics/toy/test.json", "md5": "0" * 32, "size": 3}]}
    for seed in "01":
        project.write_yaml(f"runs/seed{seed}/dvc.lock", {"schema": "2.0", "stages": {"toy_test": stage}})
    assert only(project, folders).verdict == "not attempted"


def test_a_run_whose_metric_contradicts_its_evidence_is_not_averaged(project, runs, monkeypatch):
    folders = runs(0.5, 0.52, 0.6)
    for folder in folders.values():
        (folder / "evidence/toy").mkdir(parents=True)
        (folder / "evidence/toy/test.npz").write_bytes(b"evidence")
    monkeypatch.setattr(
        "checks.evidence.recompute", lambda size, claim: {"0": 0.5, "1": 0.52, "2": 0.4}[size.folder.name[-1]]
    )
    monkeypatch.setattr("checks.evidence.interval", lambda size, claim, level=0.95: None)
    (verdict,) = verify_runs(project.size(), folders, from_predictions=True)
    assert (verdict.verdict, verdict.damaged) == ("not attempted", True)
    assert verdict.detail == "run 2: metrics/toy/test.json says 0.6, evidence/toy/test.npz gives 0.4"


def test_two_runs_of_one_seed_are_refused_unless_nothing_is_drawn(project, runs):
    folders = runs(0.5, 0.52, 0.54)
    path = folders["2"] / "fingerprints/toy/test.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "seed": 1, "wall_seconds": 9.5}))
    with pytest.raises(
        Refusal, match=r"seed2/fingerprints/toy/test.json: seed: .* as 2 has the seed of 1 .*change seed"
    ):
        verify_runs(project.size(), folders)
    parameters = {"sampling": {"subset_seed": 3}}
    path.write_text(json.dumps({**json.loads(path.read_text()), "parameters": parameters}))
    with pytest.raises(Refusal, match="change seed"):
        verify_runs(project.size(), folders)
    one = folders["1"] / "fingerprints/toy/test.json"
    one.write_text(
        json.dumps({**json.loads(one.read_text()), "parameters": {"sampling": {"subset_seed": 4}}})
    )
    assert only(project, folders).verdict == "reproduced"
    one.write_text(json.dumps({**json.loads(one.read_text()), "parameters": {}}))
    project.set_claims(claim_row(expected=7, tolerance={"kind": "exact"}))
    for folder in folders.values():
        (folder / "metrics/toy/test.json").write_text('{"score": 7}')
    assert only(project, folders).verdict == "reproduced"


def test_the_seed_of_held_out_queries_does_not_make_two_runs_of_one(project, runs):
    folders = runs(0.5, 0.52)
    for seed, folder in folders.items():
        path = folder / "fingerprints/toy/test.json"
        record = {**json.loads(path.read_text()), "seed": 0, "parameters": {"held_out": {"seed": int(seed)}}}
        path.write_text(json.dumps(record))
    with pytest.raises(Refusal, match="change seed"):
        verify_runs(project.size(), folders)


@pytest.mark.parametrize("count", [3, 5, 10])
def test_a_true_mean_on_the_bound_is_called_outside_as_often_as_the_level_says(count):
    # 4,000 times `count` runs around 0.6, the upper bound: 5 % rejections, three standard errors are 0.0103.
    draws = numpy.random.RandomState(0).normal(0.6, 0.05, (4000, count))
    found = [mean_test(list(row), -math.inf, 0.6) for row in draws]
    rate = sum(test is not None and test["rejects"] for test in found) / 4000
    assert rate == pytest.approx(LEVEL, abs=0.0104)


def test_a_true_mean_well_outside_is_found():
    draws = numpy.random.RandomState(1).normal(0.75, 0.05, (400, 5))
    assert sum(mean_test(list(row), 0.4, 0.6)["rejects"] for row in draws) > 390


def test_runs_whose_mean_agrees_are_reproduced_though_one_does_not(project, runs):
    verdict = only(project, runs(0.45, 0.5, 0.61))
    assert (verdict.verdict, verdict.origin) == ("reproduced", "run here")
    assert verdict.value == pytest.approx(0.52)
    assert verdict.runs["values"] == {"0": 0.45, "1": 0.5, "2": 0.61}
    assert (verdict.runs["n"], verdict.runs["test"]) == (3, None)
    assert verdict.runs["spread"] == pytest.approx(math.sqrt((0.07**2 + 0.02**2 + 0.09**2) / 2))


def test_a_mean_outside_deviates_where_the_runs_can_tell(project, runs):
    verdict = only(project, runs(0.7, 0.8, 0.9))
    assert verdict.verdict == "deviates" and verdict.runs["test"]["rejects"]
    assert verdict.detail == (
        "one-sided t test of the mean against the nearest bound of the tolerance 0.6 at level 0.05: "
        "p = 0.0371"
    )


def test_a_mean_outside_where_they_cannot_tell_is_not_attempted(project, runs):
    verdict = only(project, runs(0.5, 0.9))
    assert verdict.verdict == "not attempted" and not verdict.passes
    assert verdict.detail.startswith("outside, but 2 runs cannot tell at level 0.05 (")


def test_a_mean_on_the_better_side_is_better(project, runs):
    project.set_claims(claim_row(better="higher"))
    found = only(project, runs(0.7, 0.8, 0.9))
    assert found.verdict == "better" and found.runs["test"]["rejects"] and "p = 0.0371" in found.detail


def test_a_mean_on_the_better_side_where_the_runs_cannot_tell_is_not_attempted(project, runs):
    project.set_claims(claim_row(better="higher"))
    found = only(project, runs(0.5, 0.9))
    assert found.verdict == "not attempted" and not found.runs["test"]["rejects"]
    assert found.detail.startswith("outside, but 2 runs cannot tell at level 0.05 (")


@pytest.mark.parametrize(
    ("values", "verdict", "detail"),
    [
        ((7, 7, 7), "reproduced", ""),
        ((7, 8, 7), "deviates", "run 1 has 8, and 2 of 3 runs agree"),
        ((6, 8), "deviates", "run 0 has 6, and 0 of 2 runs agree"),
    ],
)
def test_an_exact_claim_takes_every_run(project, runs, values, verdict, detail):
    project.set_claims(claim_row(expected=7, tolerance={"kind": "exact"}))
    found = only(project, runs(*values))
    assert (found.verdict, found.detail) == (verdict, detail)


def test_a_run_from_elsewhere_makes_artefacts_of_all(project, runs):
    folders = runs(0.5, 0.51)
    path = folders["1"] / "fingerprints/toy/test.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "machine": "0" * 12}))
    verdict = only(project, folders)
    assert (verdict.verdict, verdict.origin) == (
        "verified from artefacts",
        "run here; cached from 000000000000, 2026-01-02",
    )


def test_a_run_that_lacks_the_number_or_has_another_recipe_leaves_the_claim_open(project, runs):
    folders = runs(0.5, 0.51, 0.52)
    (folders["2"] / "metrics/toy/test.json").unlink()
    verdict = only(project, folders)
    assert (verdict.verdict, verdict.value) == ("not attempted", None)
    assert verdict.detail == "run 2: no metrics/toy/test.json: its stage has not run"
    project.write("runs/seed0/params.yaml", "toy: {train: {rate: 0.2}}\n")
    told = "run 0: recipe altered (toy.train.rate); run 2: no metrics/toy/test.json: its stage has not run"
    assert only(project, folders).detail == told


def test_claims_blocked_in_every_run_stay_blocked(project, runs):
    project.set_claims(claim_row(inputs=["pictures"]))
    folders = runs(0.5, 0.51)
    for folder in folders.values():
        (folder / "metrics/toy/test.json").unlink()
    assert only(project, folders).verdict == "blocked (data)"


def test_one_run_is_judged_as_without_seeds(project, runs):
    verdict = only(project, runs(0.7))
    assert (verdict.verdict, verdict.runs, verdict.value) == ("deviates", None, 0.7)


def test_the_same_run_twice_is_refused(project, runs):
    folders = runs(0.5, 0.51)
    shutil.copytree(folders["1"], project.root / "runs/copy")
    with pytest.raises(Refusal, match=r"copy/fingerprints/toy/test.json: the run given as copy is that of 1"):
        verify_runs(project.size(), {**folders, "copy": project.root / "runs/copy"})


def test_runs_are_named_one_by_one_or_by_the_folder_that_holds_them(project, runs):
    folders = runs(0.5, 0.51)
    one, two = folders.values()
    assert runs_of([f"a={one}", str(two)]) == {"a": one, "seed1": two}
    assert runs_of(parent=project.root / "runs") == {"seed0": one, "seed1": two}


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (["=x"], "expected SEED=FOLDER"),
        (["1="], "expected SEED=FOLDER"),
        (["1=a", "1=b"], "1=b: expected SEED=FOLDER, each with a name of its own"),
        (["1=a", "2=a"], "a: given as run 1 and as 2"),
    ],
)
def test_runs_that_are_named_badly_are_refused(named, message):
    with pytest.raises(Refusal, match=message):
        runs_of(named)


def test_a_folder_without_runs_and_a_run_without_a_folder_are_refused(project, tmp_path):
    with pytest.raises(Refusal, match="no runs there"):
        runs_of(parent=tmp_path / "claims")
    with pytest.raises(Refusal, match="nowhere: no such folder; run 1"):
        verify_runs(project.size(), {"1": tmp_path / "nowhere"})


def test_the_command_takes_several_runs_and_names_the_level(project, runs, capsys):
    runs(0.7, 0.8, 0.9)
    arguments = ["verify", project.mini, "--claims", project.claims, "--runs", project.root / "runs"]
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr().out
    assert end.value.code == 1 and "level 0.05" in printed and "3 runs: mean" in printed
    (row,) = json.loads((project.mini / "report/verdicts.json").read_text())
    assert row["runs"]["test"]["rejects"] is True and row["interval"] is None
