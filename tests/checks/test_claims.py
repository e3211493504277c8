from __future__ import annotations

import pytest
import yaml

from checks.claims import read_all_claims, read_claims
from checks.size import PROJECT
from encore.runtime.refusal import Refusal
from tests.checks.conftest import claim_row


def test_a_valid_claim_is_read(project):
    (claim,) = read_claims(project.claims / "toy.yaml")
    assert (claim.id, claim.expected, claim.tolerance.low, claim.seeds) == ("mini_score", 0.5, 0.4, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": 1}, r"toy.yaml: \[0\].extra: unknown key"),
        ({"expected": "0.5"}, r"\[0\].expected: expected a number, found '0.5'"),
        ({"expected": float("nan")}, r"\[0\].expected: expected a finite number"),
        ({"gating": 1}, r"\[0\].gating: expected true or false"),
        ({"hours": True}, r"\[0\].hours: expected a number"),
        ({"reason": " "}, r"\(mini_score\).reason: a claim without a reason"),
        ({"tier": "golden"}, r"\.tier: expected one of mini, paper"),
        ({"system": "other"}, r"\.system: 'other' in the file of 'toy'"),
        ({"better": "up"}, r"\.better: expected higher or lower"),
        ({"tolerance": {"kind": "about"}}, r"\.tolerance.kind: expected one of exact"),
        ({"tolerance": {"kind": "absolute"}}, r"\.tolerance.value: missing"),
        ({"tolerance": {"kind": "exact", "low": 1}}, r"\.tolerance.low: has no meaning"),
        ({"tolerance": {"kind": "absolute", "value": -1}}, r"\.tolerance.value: expected 0 or more"),
        ({"tolerance": {"kind": "interval", "low": 2, "high": 1}}, r"low 2.0 is above high 1.0"),
        ({"trivial": {"file": "metrics/a.json"}}, r"\.trivial: expected either value, or file and key"),
        ({"trivial": {"value": 0, "file": "a", "key": "b"}}, r"\.trivial: expected either"),
        ({"metric": {"file": "a.json", "key": "b"}}, r"\[0\].metric.definition: this key is missing"),
        ({"inputs": "raw"}, r"\[0\].inputs: expected a list"),
        ({"recipe": {"toy.train": {"rate": 1}}}, r"\[0\].recipe.toy.train: expected a value, found"),
        ({"recipe": {"toy.train.rate": 1}}, r"\.gating: a claim of another recipe informs"),
    ],
)
def test_a_bad_claim_is_refused_by_file_and_key(project, change, message):
    project.set_claims(claim_row(**change))
    with pytest.raises(Refusal, match=message):
        read_claims(project.claims / "toy.yaml")


def test_a_claim_without_the_key_reason_is_refused(project):
    row = claim_row()
    del row["reason"]
    project.set_claims(row)
    with pytest.raises(Refusal, match=r"\[0\].reason: this key is missing"):
        read_claims(project.claims / "toy.yaml")


def test_an_id_used_twice_is_refused_even_in_two_files(project):
    project.write_yaml("claims/other.yaml", [claim_row(system="other")])
    with pytest.raises(Refusal, match="the claim id mini_score is used twice"):
        read_all_claims(project.claims)


@pytest.mark.parametrize("text", ["", "{}", "- [", "3"])
def test_what_is_not_a_list_of_claims_is_refused(project, text):
    project.write("claims/toy.yaml", text)
    with pytest.raises(Refusal, match="toy.yaml"):
        read_claims(project.claims / "toy.yaml")


def test_the_projects_own_claims_are_valid_and_their_levels_hold_together():
    claims = read_all_claims(PROJECT / "claims")
    errors = sum(1 - claim.seeds.level for claim in claims if claim.gating and claim.seeds)
    assert errors <= 0.01 + 1e-9
    assert {
        claim.id: claim.expected for claim in claims if claim.tier == "paper" and claim.system == "isc_track2"
    } == {
        "paper_image_count": 2_000_000,
        "paper_class_count": 100_000,
        "paper_checkpoint_count": 25,
        "paper_last_checkpoint": 24,
        "paper_query_descriptors": 50_000,
        "paper_reference_descriptors": 1_000_000,
        "paper_descriptor_width": 256,
        "paper_micro_ap": 0.5788,
    }


def test_the_projects_claims_name_only_inputs_that_inputs_yaml_describes():
    known = yaml.safe_load((PROJECT / "inputs.yaml").read_text(encoding="utf-8"))
    for claim in read_all_claims(PROJECT / "claims"):
        assert set(claim.inputs) <= set(known), claim.id
