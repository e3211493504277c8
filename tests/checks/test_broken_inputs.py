"""What must be shown of broken inputs: through `judge` and through `encore verify`, its files and its exit
status."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import yaml

from checks.claims import read_all_claims
from checks.cli import main
from checks.origin import this_machine
from checks.runs.reference import write_reference
from checks.verdict import judge
from tests.checks.toy_run import ToyRun, otherwise

LATER = "2026-02-03T04:05:06+00:00"


@pytest.fixture
def judged(tmp_path):
    """(a whole run with its pipeline, its Size with an equal run as reference, its one claim)."""
    run = ToyRun(tmp_path / "run", started="2")
    for stage in ("generate", "train", "test"):
        run.facts(stage, machine=this_machine())
    run.lock()
    size = run.claim_size(tmp_path)
    pipeline = {
        name: {key: list(entries) for key, entries in stage.items()} for name, stage in run.stages.items()
    }
    run.write("dvc.yaml", yaml.safe_dump({"stages": pipeline}))
    parameters = {"toy": {key.removeprefix("toy."): values for key, values in run.params.items()}}
    run.write("params.yaml", yaml.safe_dump(parameters))
    (size.claims / "mini_params.yaml").write_text(yaml.safe_dump(parameters))
    write_reference(replace(size, folder=ToyRun(tmp_path / "reference").folder))
    (claim,) = read_all_claims(size.claims)
    return run, size, claim


def show(judged):
    """(verdict, kind and stage of its cause, exit status) of `encore verify`, after checking that `judge`,
    the file of verdicts and the dashboard's file say the same."""
    run, size, claim = judged
    dashboard = run.folder / "junit.xml"
    arguments = ["verify", size.folder, "--claims", size.claims, "--junit", dashboard]
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    (row,) = json.loads((run.folder / "report/verdicts.json").read_text())
    found = judge(claim, size)
    assert (found.verdict, found.why) == (row["verdict"], row["why"])
    (case,) = ElementTree.parse(dashboard).getroot().iter("testcase")
    failed = case.find("failure") is not None or case.find("error") is not None
    assert failed == (end.value.code == 1)
    why = row["why"] or {"kind": None, "stage": None}
    return row["verdict"], why["kind"], why["stage"], end.value.code


def test_the_run_as_it_is_holds(judged):
    assert show(judged) == ("reproduced", None, None, 0)


def test_a_metric_moved_beyond_its_tolerance(judged):
    judged[0].metrics("test", score=0.9, other=2)
    assert show(judged) == ("deviates", "data", "toy_test", 1)


def test_a_metric_moved_within_its_tolerance(judged):
    judged[0].metrics("test", score=0.55, other=2)
    assert show(judged) == ("not attempted", "data", "toy_test", 1)


def test_a_manifest_with_one_image_less(judged):
    path = judged[0].folder / "data/pictures/manifest.json"
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, "count": value["count"] - 1}))
    assert show(judged) == ("not attempted", "data", "toy_generate", 1)
    assert "the manifest says 5 images, the shards hold 6" in judge(judged[2], judged[1]).why["text"]


def test_a_manifest_that_cannot_be_read_any_more(judged):
    (judged[0].folder / "data/pictures/manifest.json").write_text("{")
    assert show(judged) == ("not attempted", "data", "toy_generate", 1)


@pytest.mark.parametrize("score", [0.5, 0.9])
def test_a_swapped_checkpoint(judged, score):
    run = judged[0]
    run.metrics("test", score=score, other=2)
    run.lock()
    run.write("models/toy/net.pth", "weighty")
    verdict = "not attempted" if score == 0.5 else "deviates"
    assert show(judged) == (verdict, "data", "toy_train", 1)
    assert "models/toy/net.pth was changed" in judge(judged[2], judged[1]).detail


def other_pillow(run, **facts):
    """Pictures made by another Pillow, and a training and a test that came out otherwise on them."""
    facts = {"machine": this_machine(), **facts}
    run.pictures(6, brightness=30)
    run.facts("generate", libraries={"PIL": "12.1.0"}, **facts)
    for stage in ("train", "test"):
        run.facts(stage, **facts)
    return otherwise(run, score=0.9)


def test_another_pillow(judged):
    other_pillow(judged[0]).lock()
    assert show(judged) == ("deviates", "environment", "toy_generate", 1)
    assert "Pillow 11.0.0 → 12.1.0" in judge(judged[2], judged[1]).why["text"]


def test_another_pillow_where_the_stages_were_run_by_hand(judged):
    other_pillow(judged[0], finished=LATER)
    assert show(judged) == ("deviates", "environment", "toy_generate", 1)
    assert "Pillow 11.0.0 → 12.1.0" in judge(judged[2], judged[1]).why["text"]
