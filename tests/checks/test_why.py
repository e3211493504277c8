"""Why the number of a claim deviates: through `why` and `broken`, on files changed on disk."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from checks.claims import read_all_claims
from checks.runs.cause import broken, why
from checks.runs.integrity import sized_only
from checks.runs.out_digest import Digests
from checks.runs.reference import write_reference
from checks.verdict import compare
from tests.checks.toy_run import ToyRun, otherwise


@pytest.fixture
def judged(tmp_path):
    """(a run, its Size with an equal one as reference, the claim on its score)."""
    run = ToyRun(tmp_path / "run", started="2")
    size = run.claim_size(tmp_path)
    write_reference(replace(size, folder=ToyRun(tmp_path / "reference").folder))
    (claim,) = read_all_claims(size.claims)
    return run, size, claim


def test_nothing_is_broken_and_nothing_differs_in_an_equal_run(judged):
    _, size, claim = judged
    assert broken(size, claim) is None
    assert why(size, claim) is None


def test_a_metric_moved_beyond_tolerance_is_named_with_its_stage(judged):
    run, size, claim = judged
    run.metrics("test", score=0.9, other=2)
    assert compare(0.9, claim) == "deviates"
    text = broken(size, claim)
    pipeline = run.folder / "dvc.yaml"
    assert text == (
        "metrics/toy/test.json was changed after its stage wrote it: same size, other content (toy_test): "
        f"`dvc commit {pipeline}:toy_test` if you ran it by hand, else `dvc repro {pipeline}`"
    )
    cause = why(size, claim)
    assert (cause.stage, cause.kind) == ("toy_test", "data")
    assert cause.text == text + "; score 0.5 → 0.9 (+0.4) from the reference run to this one"


def test_a_metric_that_came_out_otherwise_is_chance(judged):
    run, size, claim = judged
    otherwise(run, score=0.9).lock()
    assert broken(size, claim) is None
    cause = why(size, claim)
    assert (cause.stage, cause.kind) == ("toy_train", "chance")
    assert cause.text.endswith("score 0.5 → 0.9 (+0.4) from the reference run to this one")


def test_a_manifest_that_says_one_image_less_is_broken_and_names_set_and_counts(judged):
    run, size, claim = judged
    path = run.folder / "data/pictures/manifest.json"
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, "count": value["count"] - 1}))
    cause = why(size, claim)
    assert (cause.stage, cause.kind) == ("toy_generate", "data")
    assert "data/pictures was changed after its stage wrote it" in cause.text
    assert "the manifest says 5 images, the shards hold 6" in cause.text


def test_a_data_set_made_again_with_one_image_less_is_broken_and_counted(judged):
    run, size, claim = judged
    run.pictures(5)
    cause = why(size, claim)
    assert (cause.stage, cause.kind) == ("toy_generate", "data")
    assert "data/pictures was changed" in cause.text and "it now holds 5 images of 2 classes" in cause.text


def test_a_data_set_without_one_of_its_files_is_broken(judged):
    run, size, claim = judged
    next((run.folder / "data/pictures").glob("shard-*.tar")).unlink()
    assert "2 files instead of 3" in broken(size, claim) and "missing" in broken(size, claim)


@pytest.mark.parametrize("net", ["weighty", "weights of another size"])
def test_a_swapped_checkpoint_is_data_and_named(judged, net):
    run, size, claim = judged
    run.write("models/toy/net.pth", net)
    cause = why(size, claim)
    assert (cause.stage, cause.kind) == ("toy_train", "data")
    assert cause.text.startswith("models/toy/net.pth was changed after its stage wrote it")
    assert cause.text.endswith("score is that of the reference run")


def test_a_swapped_checkpoint_in_a_folder_is_named_by_its_file(judged):
    run, size, claim = judged
    run.write("models/toy/logs/checkpoint_0.pth", "other weights")
    assert "models/toy/logs was changed" in broken(size, claim)
    assert "its newest file is checkpoint_0.pth" in broken(size, claim)


def test_the_only_file_of_a_folder_is_named_with_it(judged):
    run, size, claim = judged
    for path in (run.folder / "models/toy/logs").glob("[el]*"):
        path.unlink()
    run.lock()
    run.write("models/toy/logs/checkpoint_0.pth", "other weights")
    assert broken(size, claim).startswith("models/toy/logs/checkpoint_0.pth was changed")


def test_another_pillow_deviates_by_its_environment(judged):
    run, size, claim = judged
    run.pictures(6, brightness=30)
    run.facts("generate", libraries={"PIL": "12.1.0"})
    otherwise(run, score=0.9).lock()
    cause = why(size, claim)
    assert (cause.stage, cause.kind) == ("toy_generate", "environment")
    assert "Pillow 11.0.0 → 12.1.0" in cause.text


def test_the_first_broken_file_is_that_of_the_earliest_stage(judged):
    run, size, claim = judged
    run.metrics("test", score=0.9, other=2)
    run.write("models/toy/net.pth", "another")
    assert broken(size, claim).startswith("models/toy/net.pth")


def test_files_that_are_not_there_are_not_broken(judged):
    run, size, claim = judged
    shutil.rmtree(run.folder / "models")
    shutil.rmtree(run.folder / "data")
    assert broken(size, claim) is None and why(size, claim) is None


def test_a_stage_beside_the_claim_breaks_nothing(judged):
    run, size, claim = judged
    run.stages["toy_other"] = {"deps": ["data/pictures"], "outs": ["metrics/toy/other.json"]}
    run.write("metrics/toy/other.json", '{"score": 1}')
    run.lock()
    run.write("metrics/toy/other.json", '{"score": 2}')
    assert broken(size, claim) is None and why(size, claim) is None


def test_without_a_lock_or_a_reference_there_is_nothing_to_compare(judged):
    run, size, claim = judged
    otherwise(run, score=0.9).lock()
    (size.claims / "reference/mini.json").unlink()
    assert why(size, claim) is None
    (run.folder / "dvc.lock").unlink()
    assert why(size, claim) is None and broken(size, claim) is None


def test_what_is_too_large_to_read_is_told_by_count_and_size_alone(judged, monkeypatch):
    run, size, claim = judged
    assert sized_only(size.folder, claim.metric.file) == []
    small = Digests(run.folder, limit=40)
    monkeypatch.setattr("checks.runs.integrity.digests_of", lambda folder: small)
    assert "models/toy/logs" in sized_only(size.folder, claim.metric.file)
    run.write("models/toy/logs/checkpoint_0.pth", "WEIGHTS of epoch 0")
    assert broken(size, claim) is None
    run.write("models/toy/logs/checkpoint_0.pth", "weights")
    assert "models/toy/logs was changed after its stage wrote it" in broken(size, claim)


def test_a_manifest_that_cannot_be_read_any_more_is_named_all_the_same(judged):
    run, size, claim = judged
    run.write("data/pictures/manifest.json", "{half")
    cause = why(size, claim)
    assert (cause.stage, cause.kind) == ("toy_generate", "data") and "not a manifest" in cause.text
