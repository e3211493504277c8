"""What a verdict rests on: stages, digests, intervals, seeds and causes, as far as they are there."""

from __future__ import annotations

import json
import re

import pytest

from checks.claims import read_all_claims
from checks.cli import main
from checks.report.evidence_chain import CRATE, chains, facts, stages_behind
from checks.report.page import write_report
from tests.checks.conftest import claim_row

FINISHED = "2026-01-02T03:0{}:05+00:00"


@pytest.fixture
def judged(project):
    """A project whose claim rests on two stages, and has been verified."""
    project.set_fingerprint("toy/train", finished=FINISHED.format(1), wall_seconds=60, revision="a" * 40)
    project.set_fingerprint("toy/test", finished=FINISHED.format(2), wall_seconds=5, revision="a" * 40)
    with pytest.raises(SystemExit):
        main(["verify", str(project.mini), "--claims", str(project.claims)])
    return project


def chain_of(project):
    rows = json.loads((project.mini / "report/verdicts.json").read_text())
    claims = {claim.id: claim for claim in read_all_claims(project.claims)}
    return chains(project.mini, rows, claims)["mini_score"]


def test_the_stages_stand_in_the_order_of_their_end_with_seed_machine_and_revision(judged):
    chain = chain_of(judged)
    assert [stage.name for stage in chain.stages] == ["toy/train", "toy/test"] and chain.seconds == 65
    assert chain.values("revision") == "aaaaaaaaaa" and chain.values("seed") == "0"
    assert (chain.file, chain.key, chain.definition) == ("metrics/toy/test.json", "score", "a score")
    judged.set_fingerprint("toy/train", machine="elsewhere", revision="b" * 40, dirty=True)
    assert chain_of(judged).values("revision") == "aaaaaaaaaa, bbbbbbbbbb + changes"
    assert "elsewhere" in chain_of(judged).values("machine")


def test_a_metric_file_that_was_changed_after_the_verdict_is_told(judged):
    assert re.fullmatch("[0-9a-f]{64}", chain_of(judged).digest) and not chain_of(judged).changed
    assert "another one by now" not in write_report(judged.size()).read_text()
    judged.set_metric(0.52)
    assert chain_of(judged).changed
    assert "The file is another one by now" in write_report(judged.size()).read_text()


def test_the_evidence_file_and_the_crate_are_named_only_where_they_are(judged):
    assert chain_of(judged).recomputed_from == ""
    judged.write("mini/evidence/toy/test.npz", "numbers")
    assert chain_of(judged).recomputed_from == "evidence/toy/test.npz"
    assert CRATE not in write_report(judged.size()).read_text()
    judged.write(f"mini/report/{CRATE}", "{}")
    assert f'href="{CRATE}"' in write_report(judged.size()).read_text()


def test_stages_that_cannot_be_told_are_a_note_and_no_end(judged):
    (judged.mini / "dvc.yaml").unlink()
    stages, note = stages_behind(judged.mini, "metrics/toy/test.json")
    assert stages == [] and "dvc.yaml: no such file" in note
    assert "dvc.yaml: no such file" in write_report(judged.size()).read_text()


def test_intervals_seeds_and_causes_are_told_where_a_verdict_has_them():
    test = {"name": "t test", "level": 0.05, "p": 0.0123456, "rejects": True}
    row = {
        "interval": [0.25, 0.75],
        "runs": {"n": 2, "values": {"0": 0.5, "1": 0.6}, "mean": 0.55, "spread": 0.0707, "test": test},
        "why": {"stage": "toy/train", "kind": "code", "text": "the loss is another one", "evidence": {}},
    }
    assert facts(row, None) == [
        ("95 % bootstrap interval", "0.2500 to 0.7500"),
        (
            "Several seeds",
            "2 runs, mean 0.5500, spread 0.0707 (by seed: 0: 0.5000, 1: 0.6000); "
            "t test: outside the tolerance at level 0.05, p = 0.0123",
        ),
        ("Why it deviates", "the loss is another one (code, toy/train)"),
    ]
    assert facts({"interval": None, "runs": None, "why": None}, None) == facts({}, None) == []


def test_the_page_shows_the_interval_beside_the_value(judged):
    path = judged.mini / "report/verdicts.json"
    (row,) = json.loads(path.read_text())
    path.write_text(json.dumps([{**row, "interval": [0.45, 0.55]}]))
    text = write_report(judged.size()).read_text()
    assert ">95 %: 0.4500 to 0.5500<" in text and "<dd>0.4500 to 0.5500</dd>" in text


def test_seeds_of_the_calibration_are_told(project):
    seeds = {"values": {"0": 0.4, "1": 0.6}, "level": 0.99}
    project.set_claims(claim_row(seeds=seeds))
    (claim,) = read_all_claims(project.claims)
    assert facts({}, claim) == [("Tolerance from", "2 seeds, prediction interval of level 0.99")]
