from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from checks.claims import read_all_claims
from checks.cli import main
from checks.report.page import write_report
from checks.size import Size
from checks.verdict import judge
from checks.verify import failures, verify
from encore.runtime.refusal import Refusal
from tests.checks.conftest import claim_row

PROJECT = Path(__file__).parents[2]


def only(project):
    (verdict,) = verify(project.size())
    return verdict


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code


def test_a_value_within_its_tolerance_from_this_machine_is_reproduced(project, capsys):
    assert run("verify", project.mini, "--claims", project.claims) == 0
    rows = json.loads((project.mini / "report/verdicts.json").read_text())
    assert [(row["id"], row["verdict"], row["origin"], row["value"]) for row in rows] == [
        ("mini_score", "reproduced", "run here", 0.51)
    ]
    assert {"system", "metric", "expected", "tolerance", "reason", "source", "evidence"} <= set(rows[0])
    printed = capsys.readouterr().out
    assert "reproduced" in printed and str(project.mini / "report/verdicts.json") in printed


def test_json_output_is_the_file(project, capsys):
    run("verify", project.mini, "--claims", project.claims, "--json")
    assert json.loads(capsys.readouterr().out) == json.loads(
        (project.mini / "report/verdicts.json").read_text()
    )


@pytest.mark.parametrize("value", [0.39, 0.61])
def test_a_value_outside_deviates_on_both_sides_and_fails_the_command(project, value):
    project.set_metric(value)
    assert only(project).verdict == "deviates"
    assert run("verify", project.mini, "--claims", project.claims) == 1


def test_an_informative_claim_that_deviates_does_not_fail(project):
    project.set_claims(claim_row(gating=False))
    project.set_metric(0.9)
    assert only(project).verdict == "deviates"
    assert failures(verify(project.size())) == []


@pytest.mark.parametrize(
    ("tolerance", "better", "value", "verdict"),
    [
        ({"kind": "exact"}, None, 0.5, "reproduced"),
        ({"kind": "exact"}, None, 0.5000001, "deviates"),
        ({"kind": "absolute", "value": 0.25}, None, 0.75, "reproduced"),
        ({"kind": "absolute", "value": 0.25}, None, 0.2499, "deviates"),
        ({"kind": "absolute", "value": 0.25}, "higher", 0.8, "better"),
        ({"kind": "absolute", "value": 0.25}, "higher", 0.2, "deviates"),
        ({"kind": "absolute", "value": 0.25}, "lower", 0.2, "better"),
        ({"kind": "at_least", "low": 0.5}, None, 7, "reproduced"),
        ({"kind": "at_least", "low": 0.5}, None, 0.49, "deviates"),
    ],
)
def test_every_kind_of_tolerance(project, tolerance, better, value, verdict):
    project.set_claims(claim_row(tolerance=tolerance, **({"better": better} if better else {})))
    project.set_metric(value)
    assert only(project).verdict == verdict


def test_what_another_machine_made_is_not_called_reproduced(project):
    project.set_fingerprint("toy/train", machine="0" * 12, finished="2025-06-07T08:09:10+00:00")
    verdict = only(project)
    assert (verdict.verdict, verdict.origin) == (
        "verified from artefacts",
        "cached from 000000000000, 2025-06-07",
    )
    assert verdict.passes


def test_published_predictions_are_not_called_reproduced(project):
    project.set_fingerprint("toy/test", origin="published predictions")
    verdict = only(project)
    assert (verdict.verdict, verdict.origin) == ("verified from artefacts", "published predictions")


def test_a_deviation_stays_one_wherever_it_was_made(project):
    project.set_fingerprint("toy/test", machine="0" * 12)
    project.set_metric(0.1)
    assert only(project).verdict == "deviates"


def test_a_metric_that_is_not_there_is_not_attempted_and_fails(project):
    (project.mini / "metrics/toy/test.json").unlink()
    verdict = only(project)
    assert (verdict.verdict, verdict.detail) == (
        "not attempted",
        "no metrics/toy/test.json: its stage has not run",
    )
    assert failures([verdict]) == [verdict]


def test_missing_raw_data_block_a_claim_by_name(project):
    (project.mini / "metrics/toy/test.json").unlink()
    project.set_claims(claim_row(inputs=["photos", "weights"]))
    project.write("mini/inputs/weights.json", "{}")
    verdict = only(project)
    assert (verdict.verdict, verdict.detail) == ("blocked (data)", "missing photos: see `encore data`")


def test_altered_parameters_are_named_and_no_verdict_is_given(project):
    project.write_yaml("mini/params.yaml", {"toy": {"train": {"rate": 0.2, "epochs": 3}}})
    verdict = only(project)
    assert (verdict.verdict, verdict.detail) == (
        "not attempted",
        "recipe altered (toy.train.epochs, toy.train.rate)",
    )
    assert failures([verdict])


def test_a_claim_of_another_recipe_is_judged_where_that_one_ran_and_only_there(project):
    project.set_claims(claim_row(), claim_row(id="other", recipe={"toy.train.rate": 0.2}, gating=False))
    for rate, expected in ((0.1, ["reproduced", "not attempted"]), (0.2, ["not attempted", "reproduced"])):
        project.write_yaml("mini/params.yaml", {"toy": {"train": {"rate": rate}}})
        verdicts = verify(project.size())
        assert [verdict.verdict for verdict in verdicts] == expected
        details = [verdict.detail for verdict in verdicts if verdict.detail]
        assert details == ["recipe altered (toy.train.rate)"]


def test_a_claim_of_a_recipe_with_an_unknown_key_is_refused(project):
    project.set_claims(claim_row(recipe={"toy.train.speed": 1}, gating=False))
    with pytest.raises(Refusal, match="mini_params.yaml: toy.train.speed: a claim states a recipe"):
        verify(project.size())


def test_another_seed_and_other_workers_are_not_another_recipe(project):
    project.write_yaml("mini/params.yaml", {"toy": {"train": {"rate": 0.1, "seed": 7, "workers": 64}}})
    assert only(project).verdict == "reproduced"


def test_a_claim_without_a_frozen_recipe_or_calibration_is_not_attempted(project):
    (project.claims / "mini_params.yaml").unlink()
    assert "no frozen recipe" in only(project).detail
    project.set_claims(claim_row(expected=None))
    assert "not calibrated" in only(project).detail


def test_a_value_for_which_no_number_was_published_is_shown_and_judged_by_nothing(project):
    claim = replace(read_all_claims(project.claims)[0], tier="paper", expected=None)
    verdict = judge(claim, project.size())
    assert (verdict.verdict, verdict.detail, verdict.value) == (
        "not attempted",
        "no number was published",
        0.51,
    )
    placeholders = [
        row for row in read_all_claims(PROJECT / "claims") if row.id.startswith("paper_reid_pcb_")
    ]
    for row in placeholders[:2]:
        assert row.expected is None and not row.gating and "placeholder" in row.title and row.reason
    assert len(placeholders) > 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"score": NaN}', "score: expected a finite number, found nan"),
        ('{"score": "high"}', "found 'high'"),
        ('{"score": true}', "found True"),
        ('{"score": null}', "found None"),
        ('{"other": 1}', "score: no such key"),
        ("[1]", "score: no such key"),
        ("{", "not JSON"),
        ('{"score": Infinity}', "found inf"),
        ('{"score": 1' + "0" * 400 + "}", "a whole number of 401 digits"),
    ],
)
def test_a_metric_that_is_no_number_is_refused_by_file_and_key(project, capsys, text, message):
    project.write("mini/metrics/toy/test.json", text)
    assert run("verify", project.mini, "--claims", project.claims) == 2
    error = capsys.readouterr().err
    assert "metrics/toy/test.json" in error and message in error and error.count("\n") == 1
    assert not (project.mini / "report/verdicts.json").exists()


def test_a_metric_that_is_a_folder_is_refused(project, capsys):
    (project.mini / "metrics/toy/test.json").unlink()
    (project.mini / "metrics/toy/test.json").mkdir()
    assert run("verify", project.mini, "--claims", project.claims) == 2
    error = capsys.readouterr().err
    assert "metrics/toy/test.json: cannot be read" in error and error.count("\n") == 1


def test_a_metric_without_a_fingerprint_is_refused(project):
    (project.mini / "fingerprints/toy/test.json").unlink()
    with pytest.raises(Refusal, match="test.json: no such fingerprint"):
        only(project)


def test_only_the_claims_of_the_size_count(project):
    project.set_claims(claim_row(), claim_row(id="paper_score", tier="paper"))
    assert [verdict.id for verdict in verify(project.size())] == ["mini_score"]
    assert Size.of(project.root, project.claims).tier == "paper"
    assert [verdict.id for verdict in verify(Size.of(project.root, project.claims))] == ["paper_score"]


def test_no_claims_and_no_folder_are_refused(project):
    project.set_claims(claim_row(tier="paper"))
    with pytest.raises(Refusal, match="no claim of tier mini"):
        only(project)
    with pytest.raises(Refusal, match="no such folder"):
        Size.of(project.root / "nowhere", project.claims)


def test_hardware_that_was_accepted_stands_beside_the_verdict(project, capsys):
    objection = "NVIDIA A100: CUDA 10.1 has no libraries for sm_80"
    project.set_fingerprint("toy/train", hardware_objection=objection, hardware_accepted=True)
    verdict = only(project)
    assert (verdict.verdict, verdict.origin) == ("reproduced", "run here")
    assert verdict.detail == f"hardware accepted: {objection}"
    assert run("verify", project.mini, "--claims", project.claims) == 0
    assert f"run here; hardware accepted: {objection}: all claims" in capsys.readouterr().out
    page = write_report(project.size()).read_text(encoding="utf-8")
    assert f"run here; hardware accepted: {objection}</td>" in page
