"""Which files count as damaged behind a number, and what the text says to do about it."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from checks.claims import read_all_claims
from checks.runs.cause import broken, why
from checks.runs.integrity import is_its_own
from checks.runs.reference import reference_file, write_reference
from tests.checks.toy_run import ToyRun, otherwise

EVIDENCE = "evidence/toy/test.npz"


@pytest.fixture
def judged(tmp_path):
    """(a run, its Size with an equal run as the reference, the claim on its score)."""
    run, reference = ToyRun(tmp_path / "run"), ToyRun(tmp_path / "reference")
    for one in (run, reference):
        one.stages["toy_test"] = {**STAGE, "outs": [*STAGE["outs"], EVIDENCE]}
        one.write(EVIDENCE, "numbers")
        one.lock()
    size = run.claim_size(tmp_path)
    write_reference(replace(size, folder=reference.folder))
    (claim,) = read_all_claims(size.claims)
    return run, size, claim


STAGE = {
    "deps": ["../stages/toy/test.py", "models/toy/net.pth", "data/pictures/manifest.json"],
    "outs": ["fingerprints/toy/test.json", "metrics/toy/test.json"],
}


def test_records_about_a_run_break_no_claim_and_are_no_cause(judged):
    run, size, claim = judged
    run.facts("train", finished="2027-01-02T03:04:05+00:00")  # as when the stage is run once more by hand
    run.write("plots/toy/loss.csv", "step,loss\n0,1\n\n")
    assert broken(size, claim) is None and why(size, claim) is None
    run.metrics("test", score=0.9, other=2)
    run.lock(toy_test={"models/toy/net.pth": "weights"})
    run.facts("test", processor="Example 2")
    run.write("plots/toy/loss.csv", "")
    cause = why(size, claim)
    assert cause.kind != "data" and "changed after" not in cause.text


def test_evidence_breaks_only_a_number_that_is_computed_from_it(judged):
    run, size, claim = judged
    run.write(EVIDENCE, "NUMBERS")
    assert broken(size, claim) is None
    assert broken(size, claim, evidence=True).startswith(f"{EVIDENCE} was changed after its stage wrote it")
    cause = why(size, claim)  # nothing else differs
    assert (cause.stage, cause.kind) == ("toy_test", "data") and EVIDENCE in cause.text


def test_damage_is_a_cause_with_kind_and_stage_when_the_number_is_as_it_was_and_nothing_is_stored(judged):
    run, size, claim = judged
    reference_file(size).unlink()
    run.write("models/toy/net.pth", "WEIGHTS")
    cause = why(size, claim)
    assert (cause.stage, cause.kind) == ("toy_train", "data")
    assert cause.evidence == {"data": [broken(size, claim)]}


def test_the_text_ends_with_the_next_step_and_tells_a_run_outside_dvc(judged, monkeypatch):
    run, size, claim = judged
    run.write("models/toy/net.pth", "WEIGHTS")
    text = broken(size, claim)
    pipeline = run.folder / "dvc.yaml"
    step = f": `dvc commit {pipeline}:toy_train` if you ran it by hand, else `dvc repro {pipeline}`"
    assert text.endswith(step) and "run outside DVC" not in text
    run.facts("train", seed=3)
    assert broken(size, claim).endswith(f"; run outside DVC, since its fingerprint differs too{step}")
    monkeypatch.chdir(run.folder)
    here = broken(replace(size, folder=type(size.folder)(".")), claim)
    assert here.endswith(": `dvc commit toy_train` if you ran it by hand, else `dvc repro`")


def test_other_logs_beside_the_weights_of_the_reference_run_are_no_damage(judged, tmp_path):
    run, size, claim = judged
    run.write("models/toy/logs/log.txt", "9 pictures a second")
    assert broken(size, claim) is None and why(size, claim) is None
    run.write("models/toy/logs/checkpoint_0.pth", "WEIGHTS of epoch 0")
    assert "models/toy/logs was changed" in broken(size, claim)
    run.write("models/toy/logs/checkpoint_0.pth", "weights of epoch 0")
    reference_file(size).unlink()  # nobody knows any more what the weights were
    assert "its newest file is checkpoint_0.pth" in broken(size, claim)
    run.write("models/toy/logs/log.txt", "8 pictures a second")
    assert "its newest file is log.txt, a log (toy_train)" in broken(size, claim)


def test_a_data_set_is_not_taken_for_a_folder_of_which_the_logs_differ(judged):
    run, size, claim = judged
    run.pictures(6, brightness=30)
    assert "data/pictures was changed" in broken(size, claim)


def test_an_output_without_a_digest_in_the_lock_is_passed_over(judged):
    run, size, claim = judged
    path = run.folder / "dvc.lock"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "md5: " not in line or "hash" in line))
    run.write("models/toy/net.pth", "WEIGHTS")
    assert broken(size, claim) is None
    assert why(size, claim) is None


def test_a_fingerprint_is_a_stage_s_own_while_it_is_the_one_of_the_lock(judged):
    from checks.runs.dvc_lock import read_lock

    run, size, _ = judged
    stage = read_lock(run.folder)["toy_train"]
    assert is_its_own(run.folder, stage)
    run.facts("train", seed=3)
    assert not is_its_own(run.folder, stage)
    shutil.rmtree(run.folder / "fingerprints")
    assert is_its_own(run.folder, stage)


def test_the_cause_of_a_stage_run_by_hand_is_not_hidden_by_its_fingerprint(judged):
    """The training is run again with other parameters and committed; its test by hand, so that the test's
    fingerprint and metric are others than in the lock."""
    run, size, claim = judged
    run.params["toy.train"]["epochs"] = 2
    otherwise(run, score=0.9).lock()
    run.facts("test", finished="2027-01-02T03:04:05+00:00")
    cause = why(size, claim)
    assert (cause.stage, cause.kind) == ("toy_train", "recipe")
