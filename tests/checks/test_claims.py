from __future__ import annotations

import pytest
import yaml

from checks.claims import read_all_claims, read_claims
from checks.size import PROJECT
from checks.tolerance import derived, prediction_interval, spread_coverage, stated_width
from encore.metrics.definitions import DEFINITIONS
from encore.runtime.refusal import Refusal
from tests.checks.conftest import claim_row

METRIC = {"file": "metrics/toy/test.json", "key": "score", "definition": "a score"}
WIDE = {"tolerance": {"kind": "absolute", "value": 0.1}}
SPREAD = {"kind": "published spread", "deviation": 0.02, "times": 3}
SAMPLE = {"kind": "finite sample", "published": 100, "run": 100, "level": 0.99}
VALUES = {"0": 0.1, "1": 0.2, "2": 0.3}
# Mean 0.2, s = 0.1, t(0.975; 2) = 4.302653: half width 4.302653 · 0.1 · √(4/3) = 0.496828.
SEEDS = {
    "basis": {"kind": "own seeds"},
    "expected": 0.2,
    "tolerance": {"kind": "interval", "low": -0.296828, "high": 0.696828},
    "seeds": {"values": VALUES, "level": 0.95},
}


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
        ({"id": ""}, r"\.id: a claim without an id is not accepted"),
        ({"source": ""}, r"\.source: a claim without a source"),
        ({"command": " "}, r"\.command: a claim without a command"),
        ({"hardware": ""}, r"\.hardware: a claim without a hardware"),
        ({"disk": ""}, r"\.disk: a claim without a disk"),
        ({"hours": -1}, r"\.hours: expected 0 or more, found -1.0"),
        ({"metric": METRIC | {"definition": " "}}, r"\.metric.definition: a claim without it"),
        ({"metric": METRIC | {"key": ""}}, r"\.metric.key: a claim without it"),
        ({"metric": METRIC | {"file": "a.json"}}, r"\.metric.file: expected metrics/<system>/<stage>.json"),
        ({"metric": METRIC | {"file": "metrics/../a.json"}}, r"\.metric.file: expected metrics/"),
        ({"gpu": {"count": 0}}, r"\.gpu: expected a count of 1 or more"),
        ({"gpu": {"count": 1, "memory_gb": 0}}, r"\.gpu: expected a count of 1 or more, and memory above 0"),
        ({"gpu": "V100"}, r"\[0\].gpu: expected a mapping"),
        ({"basis": None}, r"\[0\].basis: expected a mapping, found None"),
        (SEEDS | {"expected": 0.21}, r"\.expected: its seeds give 0.200000, found 0.21: restore it"),
        (
            SEEDS | {"tolerance": {"kind": "interval", "low": -0.3, "high": 0.696828}},
            r"\.tolerance.low: its se",
        ),
        (
            SEEDS | {"tolerance": {"kind": "at_least", "low": -0.296828}},
            r"\.tolerance.high: its seeds give 0.6",
        ),
        (SEEDS | {"seeds": None}, r"\.seeds: missing"),
        (SEEDS | {"seeds": {"values": {"0": 0.1}, "level": 0.95}}, r"\.seeds.values: a prediction interval"),
        (SEEDS | {"seeds": {"values": VALUES, "level": 95}}, r"\.seeds.level: expected a number in \(0, 1\)"),
        ({"basis": {"kind": "hope"}}, r"\.basis.kind: expected one of count, published spread"),
        ({"basis": {"kind": "nothing published"}}, r"\.basis.kind: nothing published is for paper claims"),
        (WIDE | {"basis": {"kind": "count"}}, r"\.basis.kind: a count is exact, in an interval or at least"),
        (WIDE | {"basis": SPREAD | {"times": 0}}, r"\.basis.times: expected a number above 0"),
        (WIDE | {"basis": {"kind": "published spread", "times": 3}}, r"\.basis.deviation: expected a publ"),
        (WIDE | {"basis": SPREAD}, r"\.tolerance: its basis .* gives absolute, value 0.06 .* found .* 0.1"),
        ({"basis": SPREAD}, r"\.tolerance: its basis .* found interval"),
        (WIDE | {"basis": SAMPLE | {"run": 1}}, r"\.basis.run: expected how many were drawn, found 1"),
        (WIDE | {"basis": SAMPLE | {"level": 99.0}}, r"\.basis.level: expected a number in \(0, 1\)"),
        (WIDE | {"basis": SAMPLE, "expected": 46.8}, r"\.basis.scale: expected 46.8 to be a share"),
        (WIDE | {"basis": SAMPLE}, r"\.tolerance: its basis \(finite sample\) gives absolute, value 0.18 "),
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


def test_a_claim_without_a_basis_is_refused(project):
    row = claim_row()
    del row["basis"]
    project.set_claims(row)
    with pytest.raises(Refusal, match=r"toy.yaml: \[0\].basis: this key is missing"):
        read_claims(project.claims / "toy.yaml")


def test_a_key_that_stands_twice_in_a_claim_is_refused(project):
    path = project.claims / "toy.yaml"
    path.write_text(path.read_text() + "  expected: 0.9\n")
    with pytest.raises(Refusal, match="toy.yaml.*expected"):
        read_claims(path)


def test_an_id_used_twice_is_refused_even_in_two_files(project):
    project.write_yaml("claims/other.yaml", [claim_row(system="other")])
    message = r"toy.yaml: \[0\].id: the claim id mini_score is used twice, first at .*other.yaml: \[0\].id"
    with pytest.raises(Refusal, match=message):
        read_all_claims(project.claims)


def test_an_id_used_twice_in_one_file_is_refused(project):
    project.set_claims(claim_row(), claim_row(id="another"), claim_row())
    with pytest.raises(Refusal, match=r"\[2\].id: the claim id mini_score is used twice"):
        read_all_claims(project.claims)


@pytest.mark.parametrize(
    "change",
    [
        {"basis": SPREAD, "tolerance": {"kind": "absolute", "value": 0.06}},
        {"basis": SAMPLE, "tolerance": {"kind": "absolute", "value": 0.18}},
        SEEDS,
        {"basis": {"kind": "own seeds"}, "expected": None},
        {"basis": {"kind": "count"}, "expected": 3, "tolerance": {"kind": "exact"}},
        {"gpu": {"count": 4, "memory_gb": 32}},
    ],
)
def test_a_claim_whose_tolerance_is_what_its_basis_gives_is_read(project, change):
    project.set_claims(claim_row(**change))
    (claim,) = read_claims(project.claims / "toy.yaml")
    assert claim.basis.kind == change.get("basis", {"kind": "requirement"})["kind"]
    assert claim.gpu is None or (claim.gpu.count, claim.gpu.memory_gb) == (4, 32.0)


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


def test_every_claim_of_the_project_says_what_its_tolerance_rests_on():
    claims = read_all_claims(PROJECT / "claims")
    assert [claim.id for claim in claims if claim.basis is None] == []
    for claim in claims:
        exact = claim.tolerance.kind == "exact" and claim.expected is not None
        assert not exact or claim.basis.kind == "count", claim.id
        assert len(claim.reason) > 10 and len(claim.metric.definition) > 10, claim.id
        if claim.tier == "paper":
            assert not claim.gating or claim.basis.kind not in ("requirement", "nothing published"), claim.id
            assert len(claim.source) > 20, claim.id


def test_the_intervals_of_mini_claims_are_those_of_their_own_seeds():
    held = [claim for claim in read_all_claims(PROJECT / "claims") if claim.basis.kind == "own seeds"]
    assert len(held) > 20
    for claim in held:
        low, high = prediction_interval(claim.seeds.values.values(), claim.seeds.level)
        assert (claim.tolerance.low, claim.tolerance.high) == pytest.approx((low, high), abs=1e-6), claim.id


def test_computed_widths_stand_in_the_reasons_of_their_claims():
    computed = ("published spread", "finite sample")
    for claim in read_all_claims(PROJECT / "claims"):
        assert claim.basis.kind not in computed or claim.basis.kind in claim.reason, claim.id
        if claim.basis.values:
            held = spread_coverage(claim.basis.times, len(claim.basis.values))
            assert f"holds a further one with {held:.0%}".replace("%", " %") in claim.reason, claim.id
        if claim.basis.kind == "finite sample":
            assert "independent samples" in claim.reason, claim.id
            pooled = "micro average precision" in claim.metric.definition or "recall" in claim.metric.key
            assert not pooled or "a stand-in and no bound" in claim.reason, claim.id
            assert f"= {derived(claim.basis, claim.expected):.4f}" in claim.reason, claim.id


def test_the_teacher_s_width_by_hand():
    # One picture in a hundred of 50,000 changes sides, +1 or -1 alike: the sum has the variance 500, so its
    # deviation is 22.36 and 99 % lie within 2.576 * 22.36 = 57.6 pictures, 0.115 of 50,000 in percent.
    (claim,) = (claim for claim in read_all_claims(PROJECT / "claims") if claim.id == "paper_fkd_teacher")
    width = 2.576 * (0.01 * 50_000) ** 0.5 / 50_000 * 100
    assert claim.tolerance.value == stated_width(width) == 0.12


def test_definitions_of_micro_average_precision_are_named():
    for claim in read_all_claims(PROJECT / "claims"):
        name = claim.metric.key.removeprefix("micro_ap_")
        if claim.tier == "paper" and name in DEFINITIONS:
            assert f"definition {name} of encore.metrics.definitions" in claim.metric.definition, claim.id
