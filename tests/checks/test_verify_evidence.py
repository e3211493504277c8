"""Numbers computed again from evidence files, their intervals, and what is said of a deviation."""

from __future__ import annotations

import hashlib
import json

import pytest

from checks.cli import main
from checks.evidence import evidence_path
from checks.runs.cause import Cause
from checks.runs.run_record import RunRecord
from checks.runs.stage_record import Out, StageRecord
from checks.verdict import evidence_of
from checks.verify import verify
from encore.runtime.refusal import Refusal
from tests.checks.conftest import claim_row

EVIDENCE = "evidence/toy/test.npz"
CONTENT = b"evidence"


@pytest.fixture
def stored(project, monkeypatch):
    """A fresh clone after a pull: an evidence file that gives 0.51, no metrics and no fingerprints."""
    (project.mini / "metrics/toy/test.json").unlink()
    (project.mini / "fingerprints/toy/test.json").unlink()
    path = project.mini / EVIDENCE
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    monkeypatch.setattr("checks.evidence.recompute", lambda size, claim: 0.51)
    monkeypatch.setattr("checks.evidence.interval", lambda size, claim, level=0.95: None)
    return project


def only(project, from_predictions=True):
    (verdict,) = verify(project.size(), from_predictions=from_predictions)
    return verdict


def reference(project, md5, **facts):
    record = StageRecord(
        system="toy", stage="test", item="", cmd="x", deps={}, outs={EVIDENCE: Out(md5)}, fingerprint=facts
    )
    RunRecord({"toy_test": record}).write(project.claims / "reference/mini.json")


def test_evidence_lies_where_it_is_looked_for(project):
    path = evidence_path(project.size(), "metrics/toy/deep/test.json")
    assert project.mini / evidence_of("metrics/toy/deep/test.json") == path


def test_without_metrics_and_fingerprints_the_number_is_verified_and_never_run_here(stored):
    verdict = only(stored)
    assert (verdict.verdict, verdict.origin, verdict.value, verdict.passes) == (
        "verified from artefacts",
        "cached from an unknown machine",
        0.51,
        True,
    )
    assert verdict.evidence["file"] == EVIDENCE and "metric_sha256" not in verdict.evidence


def test_the_machine_is_that_of_the_stored_reference_run_whose_file_this_is(stored):
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    reference(stored, md5, machine="abc", finished="2026-05-06T01:02:03+00:00")
    assert only(stored).origin == "cached from abc, 2026-05-06"
    reference(stored, md5, machine="abc")
    assert only(stored).origin == "cached from abc, day not recorded"
    reference(stored, "0" * 32, machine="abc", finished="2026-05-06T01:02:03+00:00")
    assert only(stored).origin == "cached from an unknown machine"


def test_a_fingerprint_that_is_there_says_from_where_even_of_this_machine(stored):
    stored.set_fingerprint("toy/test")
    assert only(stored).origin.startswith("cached from ") and only(stored).origin.endswith(", 2026-01-02")
    stored.set_fingerprint("toy/test", origin="published predictions")
    assert only(stored).origin == "published predictions"


def test_a_metric_file_that_says_otherwise_deviates_with_both_numbers(stored):
    stored.set_metric(0.51 * (1 + 1e-12))
    assert only(stored).verdict == "verified from artefacts"
    stored.set_metric(0.55)
    verdict = only(stored)
    assert verdict.verdict == "deviates" and verdict.damaged
    assert (verdict.why["kind"], verdict.why["stage"], verdict.why["text"]) == (
        "data",
        "toy_test",
        verdict.detail,
    )
    assert verdict.detail == f"metrics/toy/test.json says 0.55, {EVIDENCE} gives 0.51"


def test_without_evidence_a_claim_is_not_attempted_or_blocked(stored):
    (stored.mini / EVIDENCE).unlink()
    verdict = only(stored)
    assert (verdict.verdict, verdict.detail) == (
        "not attempted",
        f"no {EVIDENCE}: pull the artefacts: `make pull`",
    )
    stored.set_claims(claim_row(inputs=["pictures"]))
    assert only(stored).verdict == "blocked (data)"


def test_evidence_that_gives_no_number_or_not_this_one_is_refused(stored, monkeypatch):
    monkeypatch.setattr("checks.evidence.recompute", lambda size, claim: float("nan"))
    with pytest.raises(Refusal, match=rf"{EVIDENCE}: score: expected a finite number, found nan"):
        only(stored)
    monkeypatch.undo()
    with pytest.raises(Refusal, match="test.npz"):
        only(stored)


def test_a_recomputed_number_outside_fails_the_command(stored, monkeypatch):
    monkeypatch.setattr("checks.evidence.recompute", lambda size, claim: 0.7)
    with pytest.raises(SystemExit) as end:
        main(["verify", str(stored.mini), "--claims", str(stored.claims), "--from-predictions"])
    assert end.value.code == 1
    (row,) = json.loads((stored.mini / "report/verdicts.json").read_text())
    assert (row["verdict"], row["value"]) == ("deviates", 0.7)


def test_an_interval_stands_beside_a_number_that_has_one(stored, monkeypatch):
    monkeypatch.setattr("checks.evidence.interval", lambda size, claim, level=0.95: (0.45, 0.57))
    stored.set_metric(0.51)
    stored.set_fingerprint("toy/test")
    with pytest.raises(SystemExit) as end:
        main(["verify", str(stored.mini), "--claims", str(stored.claims)])
    (row,) = json.loads((stored.mini / "report/verdicts.json").read_text())
    assert (end.value.code, row["interval"], row["verdict"]) == (0, [0.45, 0.57], "reproduced")


def test_evidence_that_cannot_be_read_costs_the_interval_and_not_the_verdicts(project):
    path = project.mini / EVIDENCE
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    verdict = only(project, from_predictions=False)
    assert (verdict.verdict, verdict.interval) == ("reproduced", None)
    assert verdict.detail.startswith("no interval: ") and EVIDENCE in verdict.detail
    with pytest.raises(Refusal, match=r"test\.npz"):
        only(project, from_predictions=True)


def test_a_number_without_evidence_has_no_interval(project):
    assert only(project, from_predictions=False).interval is None


def test_a_passing_number_whose_chain_is_broken_is_not_attempted(project, monkeypatch):
    text = "models/toy was changed after its stage wrote it"
    monkeypatch.setattr("checks.runs.cause.broken", lambda size, claim, evidence: text)
    verdict = only(project, from_predictions=False)
    assert (verdict.verdict, verdict.detail, verdict.passes) == ("not attempted", text, False)
    project.set_metric(0.9)
    verdict = only(project, from_predictions=False)
    assert (verdict.verdict, verdict.detail) == ("deviates", text)


def test_a_changed_metric_file_is_found_by_the_lock(project):
    stage = {"cmd": "x", "outs": [{"path": "metrics/toy/test.json", "md5": "0" * 32, "size": 3}]}
    project.write_yaml("mini/dvc.lock", {"schema": "2.0", "stages": {"toy_test": stage}})
    verdict = only(project, from_predictions=False)
    assert verdict.verdict == "not attempted" and "metrics/toy/test.json was changed" in verdict.detail
    assert (verdict.why["kind"], verdict.why["stage"], verdict.damaged) == ("data", "toy_test", True)
    assert verdict.why["text"] in verdict.detail


def test_outputs_told_by_size_alone_are_named(project, monkeypatch):
    stage = {"cmd": "x", "outs": [{"path": "models/toy", "md5": "0" * 32, "size": 3}]}
    stages = {"toy_train": stage}
    project.write_yaml("mini/dvc.lock", {"schema": "2.0", "stages": stages})
    monkeypatch.setattr("checks.explanation.sized_only", lambda folder, file: ["models/toy"])
    verdict = only(project, from_predictions=False)
    assert (verdict.verdict, verdict.detail) == ("reproduced", "told by size alone: models/toy")


def test_a_deviation_that_the_reference_run_shares_says_so(project):
    record = StageRecord(
        system="toy",
        stage="test",
        item="",
        cmd="x",
        deps={},
        metrics={"metrics/toy/test.json": {"score": 0.9}},
    )
    RunRecord({"toy_test": record}).write(project.claims / "reference/mini.json")
    project.set_metric(0.9)
    verdict = only(project, from_predictions=False)
    assert (verdict.verdict, verdict.detail) == ("deviates", "equal to the reference run, which deviates too")
    project.set_metric(0.91)
    assert only(project, from_predictions=False).detail == ""


def test_a_deviation_says_why_in_the_file_and_on_the_screen(project, monkeypatch, capsys):
    cause = Cause("toy_train", "environment", "toy_train: another result; environment: numpy 2 instead of 1")
    monkeypatch.setattr("checks.runs.cause.why", lambda size, claim: cause)
    assert only(project, from_predictions=False).why is None
    project.set_metric(0.9)
    with pytest.raises(SystemExit) as end:
        main(["verify", str(project.mini), "--claims", str(project.claims)])
    (row,) = json.loads((project.mini / "report/verdicts.json").read_text())
    assert (end.value.code, row["why"]["stage"], row["why"]["kind"]) == (1, "toy_train", "environment")
    assert f"mini_score: cause (environment): {cause.text}" in capsys.readouterr().out


def test_a_deviation_without_anything_to_compare_with_has_no_cause(project):
    project.set_metric(0.9)
    assert only(project, from_predictions=False).why is None


def test_verdicts_of_a_run_made_here_are_kept(project, monkeypatch, capsys):
    monkeypatch.setattr("checks.evidence.recompute", lambda size, claim: 0.51)
    monkeypatch.setattr("checks.evidence.interval", lambda size, claim, level=0.95: None)
    evidence = project.mini / EVIDENCE
    evidence.parent.mkdir(parents=True)
    evidence.write_bytes(CONTENT)
    own, beside = (
        project.mini / "report" / name for name in ("verdicts.json", "verdicts_from_predictions.json")
    )
    options = ["verify", str(project.mini), "--claims", str(project.claims)]
    for more, written in (([], own), (["--from-predictions"], beside), (["--from-predictions"], beside)):
        with pytest.raises(SystemExit) as ended:
            main([*options, *more])
        assert ended.value.code == 0 and str(written) in capsys.readouterr().out.replace("\n", "")
    assert json.loads(own.read_text())[0]["origin"] == "run here"
    assert json.loads(beside.read_text())[0]["verdict"] == "verified from artefacts"
    own.unlink()  # a fresh clone
    with pytest.raises(SystemExit):
        main([*options, "--from-predictions"])
    assert json.loads(own.read_text())[0]["verdict"] == "verified from artefacts"
