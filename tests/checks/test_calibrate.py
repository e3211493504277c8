from __future__ import annotations

import json
import statistics

import pytest

from checks.calibrate import calibrate, collect
from checks.claims import read_claims
from checks.cli import main
from encore.runtime.refusal import Refusal
from tests.checks.conftest import claim_row

TRIVIAL = {"file": "metrics/toy/untrained.json", "key": "score"}
OPEN = {"expected": None, "tolerance": {"kind": "interval", "low": 0, "high": 0}, "reason": "not calibrated"}


def make_runs(project, scores, untrained=0.1, count=12, **parameters):
    """One folder a seed with its metrics and parameters: {seed: folder}."""
    runs = {}
    for seed, score in enumerate(scores):
        folder = f"runs/{seed}"
        project.write(f"{folder}/metrics/toy/test.json", json.dumps({"score": score, "count": count}))
        project.write(f"{folder}/metrics/toy/untrained.json", json.dumps({"score": untrained}))
        project.write_yaml(
            f"{folder}/params.yaml", {"toy": {"train": {"rate": 0.1, "seed": seed, **parameters}}}
        )
        runs[str(seed)] = project.root / folder
    return runs


@pytest.fixture
def open_project(project):
    project.set_claims(
        claim_row(**OPEN, trivial=TRIVIAL),
        claim_row(
            id="mini_count",
            expected=None,
            tolerance={"kind": "exact"},
            reason="not calibrated",
            metric={"file": "metrics/toy/test.json", "key": "count", "definition": "a count"},
        ),
        claim_row(id="stated_by_hand", tolerance={"kind": "at_least", "low": 0.3}),
    )
    return project


def test_expected_tolerance_and_reason_come_from_the_runs(open_project):
    scores = [0.50, 0.52, 0.48, 0.51, 0.49]
    collect(open_project.claims, "toy", make_runs(open_project, scores))
    calibrate(open_project.claims, "toy")
    score, count, by_hand = read_claims(open_project.claims / "toy.yaml")
    # One interval claim: level 99 %, t(0.995; 4) = 4.60409; s = sqrt(0.001 / 4) = 0.0158114;
    # sqrt(1 + 1/5) = 1.0954451.
    half = 4.60409 * 0.0158114 * 1.0954451
    assert score.expected == pytest.approx(statistics.fmean(scores))
    assert (score.tolerance.low, score.tolerance.high) == (
        pytest.approx(0.5 - half, abs=1e-5),
        pytest.approx(0.5 + half, abs=1e-5),
    )
    assert score.gating and score.seeds.level == pytest.approx(0.99) and "5 seeds" in score.reason
    assert score.seeds.values == {str(seed): value for seed, value in enumerate(scores)}
    assert (count.expected, count.tolerance.kind) == (12, "exact") and "all 5 seed runs" in count.reason
    assert (by_hand.expected, by_hand.tolerance.low) == (0.5, 0.3)


def test_the_level_is_shared_by_the_interval_claims_of_all_files_that_gate(open_project):
    others = [claim_row(id="b", system="other"), claim_row(id="c", system="other", trivial={"value": 0.3})]
    open_project.write_yaml("claims/other.yaml", others)  # not calibrated yet: both may gate
    collect(open_project.claims, "toy", make_runs(open_project, [0.50, 0.52, 0.48, 0.51, 0.49]))
    assert calibrate(open_project.claims, "toy")[0].seeds.level == pytest.approx(1 - 0.01 / 3)
    # of "c", which reaches the trivial value
    seeds = {"c": {"value": {"0": 0.3, "1": 0.4, "2": 0.5}, "trivial": {"0": 0.3}}}
    open_project.write("claims/seeds/other.json", json.dumps(seeds))
    assert calibrate(open_project.claims, "toy")[0].seeds.level == pytest.approx(1 - 0.01 / 2)


def test_a_claim_that_gates_only_with_fewer_shares_has_its_own(open_project):
    scores, claims = [0.50, 0.52, 0.48, 0.51, 0.49], open_project.claims
    collect(claims, "toy", make_runs(open_project, scores))
    # half widths of these scores: 0.0797 at 1 - 0.01 (see above), 0.0969 at 1 - 0.01 / 2: above 0.41 with one
    # share only, but then both claims gate
    near = {"value": {str(seed): score for seed, score in enumerate(scores)}, "trivial": {"0": 0.41}}
    open_project.write_yaml("claims/other.yaml", [claim_row(id="b", system="other", trivial={"value": 0.41})])
    open_project.write("claims/seeds/other.json", json.dumps({"b": near}))
    assert calibrate(claims, "toy")[0].seeds.level == pytest.approx(1 - 0.01 / 2)
    assert not calibrate(claims, "other")[0].gating


def test_a_claim_that_training_does_not_lift_out_of_the_trivial_is_informative(open_project):
    collect(
        open_project.claims, "toy", make_runs(open_project, [0.50, 0.52, 0.48, 0.51, 0.49], untrained=0.45)
    )
    claim = calibrate(open_project.claims, "toy")[0]
    assert not claim.gating and "without training (0.4500)" in claim.reason


def test_comments_and_other_claims_are_kept(open_project):
    path = open_project.claims / "toy.yaml"
    path.write_text("# what this file is\n" + path.read_text().replace("- basis", "# the first\n- basis", 1))
    collect(open_project.claims, "toy", make_runs(open_project, [0.5, 0.6, 0.7]))
    calibrate(open_project.claims, "toy")
    assert path.read_text().startswith("# what this file is\n# the first\n")


def test_calibrating_twice_changes_nothing_and_one_more_seed_is_added(open_project):
    runs = make_runs(open_project, [0.5, 0.6, 0.7, 0.65])
    collect(open_project.claims, "toy", dict(list(runs.items())[:3]))
    calibrate(open_project.claims, "toy")
    first = (open_project.claims / "toy.yaml").read_bytes()
    calibrate(open_project.claims, "toy")
    assert (open_project.claims / "toy.yaml").read_bytes() == first
    stored = collect(open_project.claims, "toy", {"3": runs["3"]})
    assert list(stored["mini_score"]["value"].values()) == [0.5, 0.6, 0.7, 0.65]


def test_runs_of_another_recipe_replace_the_stored_values(open_project):
    collect(open_project.claims, "toy", make_runs(open_project, [0.5, 0.6, 0.7]))
    stored = collect(open_project.claims, "toy", make_runs(open_project, [0.9, 0.8], epochs=3))
    assert stored["mini_score"]["value"] == {"0": 0.9, "1": 0.8}


def test_runs_of_two_recipes_are_refused(open_project):
    runs = make_runs(open_project, [0.5, 0.6])
    open_project.write_yaml("runs/1/params.yaml", {"toy": {"train": {"rate": 0.2}}})
    with pytest.raises(Refusal, match="toy.train.rate differs"):
        collect(open_project.claims, "toy", runs)


def test_an_exact_claim_that_varies_is_refused(open_project):
    runs = make_runs(open_project, [0.5, 0.6, 0.7])
    open_project.write("runs/1/metrics/toy/test.json", json.dumps({"score": 0.6, "count": 13}))
    collect(open_project.claims, "toy", runs)
    with pytest.raises(Refusal, match="mini_count: the tolerance is exact, but the seed runs gave 12 and 13"):
        calibrate(open_project.claims, "toy")


def test_a_run_that_has_not_ended_is_refused(open_project):
    runs = make_runs(open_project, [0.5, 0.6])
    (runs["1"] / "metrics/toy/untrained.json").unlink()
    with pytest.raises(Refusal, match="untrained.json: no such metric file"):
        collect(open_project.claims, "toy", runs)


def test_nothing_stored_is_refused(open_project):
    with pytest.raises(Refusal, match="no seed run of mini_score"):
        calibrate(open_project.claims, "toy")


@pytest.mark.parametrize("runs", [["folder"], ["a=folder"], ["0=a", "0=b"]])
def test_the_command_refuses_what_is_not_seed_and_folder(open_project, capsys, runs):
    with pytest.raises(SystemExit) as end:
        main(["calibrate", "toy", "--claims", str(open_project.claims), *runs])
    assert end.value.code == 2 and "expected SEED=FOLDER" in capsys.readouterr().err


def test_calibrated_claims_verify(open_project):
    runs = make_runs(open_project, [0.50, 0.52, 0.48, 0.51, 0.49])
    with pytest.raises(SystemExit):
        main(
            [
                "calibrate",
                "toy",
                "--claims",
                str(open_project.claims),
                *(f"{seed}={folder}" for seed, folder in runs.items()),
            ]
        )
    open_project.write("mini/metrics/toy/test.json", json.dumps({"score": 0.505, "count": 12}))
    with pytest.raises(SystemExit) as end:
        main(["verify", str(open_project.mini), "--claims", str(open_project.claims)])
    assert end.value.code == 0


def test_a_claim_that_informs_by_decision_stays_so_and_does_not_widen_the_others(open_project):
    runs = make_runs(open_project, [0.50, 0.52, 0.48, 0.51, 0.49])
    collect(open_project.claims, "toy", runs)
    calibrate(open_project.claims, "toy")
    alone = read_claims(open_project.claims / "toy.yaml")[0].tolerance
    rows = [
        claim_row(**OPEN, trivial=TRIVIAL),
        claim_row(id="informs", gating=False, **OPEN),
    ]
    open_project.set_claims(*rows)
    collect(open_project.claims, "toy", runs)
    calibrate(open_project.claims, "toy")
    score, informs = read_claims(open_project.claims / "toy.yaml")
    assert score.tolerance == alone and score.gating
    assert not informs.gating and "by decision" in informs.reason and informs.expected == pytest.approx(0.5)
