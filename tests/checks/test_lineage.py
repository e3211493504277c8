"""What a number rests on, on a fabricated pipeline and on the project's own."""

from __future__ import annotations

import pytest
import yaml

from checks.claims import read_all_claims
from checks.lineage import lineage
from checks.recipe import section_of
from checks.size import PROJECT
from encore.runtime.refusal import Refusal

PIPELINE = {
    "inputs": {"cmd": "x", "outs": [{"inputs": {"cache": False}}]},
    "a_make": {"deps": ["inputs/photos.json", "code.py"], "params": ["a.make"], "outs": ["data/a"]},
    "b_train": {
        "matrix": {"size": [1, 2]},
        "deps": ["data/a/part", "inputs/photos.json"],
        "params": ["b.train", "b.network"],
        "outs": ["${b.weights}/${item.size}/w", {"fingerprints/b/train/${item.size}.json": {"cache": False}}],
        "metrics": [{"metrics/b/train/${item.size}.json": {"cache": False}}],
    },
    "b_test": {
        "deps": ["models"],
        "params": ["b.test"],
        "metrics": [{"metrics/b/test.json": {"cache": False}}],
    },
    "c_other": {"deps": ["data/a"], "params": ["c"], "metrics": ["metrics/c/other.json"]},
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": PIPELINE}))
    (tmp_path / "params.yaml").write_text("b: {weights: models}\n")
    return tmp_path


def test_every_stage_on_the_way_is_found_through_folders_and_matrix_items(folder):
    behind = lineage(folder, "metrics/b/test.json")
    assert behind.stages == ("a_make", "b_test", "b_train", "inputs")
    assert behind.sections == ("a.make", "b.network", "b.test", "b.train")
    assert behind.fingerprints == ("fingerprints/b/train/*.json",)


def test_an_item_s_metric_has_its_stage(folder):
    assert lineage(folder, "metrics/b/train/2.json").stages == ("a_make", "b_train", "inputs")
    assert lineage(folder, "metrics/c/other.json").stages == ("a_make", "c_other", "inputs")


def test_an_item_rests_on_its_own_section_and_all_items_on_that_of_all(folder):
    stages = dict(PIPELINE, b_train=dict(PIPELINE["b_train"], params=["b.sizes.${item.size}", "b.train"]))
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    assert lineage(folder, "metrics/b/train/2.json").sections == ("a.make", "b.sizes.2", "b.train")
    assert lineage(folder, "metrics/b/test.json").sections == ("a.make", "b.sizes", "b.test", "b.train")


def test_a_key_of_a_foreach_rests_on_the_keys_before_it(folder):
    grown = {
        "foreach": "${b.grown}",
        "do": {
            "deps": ["models/${item.from}"],
            "params": ["b.grown.${key}"],
            "outs": ["models/${key}", {"fingerprints/b/grow/${key}.json": {"cache": False}}],
            "metrics": [{"metrics/b/grow/${key}.json": {"cache": False}}],
        },
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": dict(PIPELINE, b_grow=grown)}))
    chain = {"one": {"from": "start"}, "two": {"from": "one"}, "three": {"from": "two"}}
    (folder / "params.yaml").write_text(yaml.safe_dump({"b": {"weights": "other", "grown": chain}}))
    behind = lineage(folder, "metrics/b/grow/two.json")
    assert behind.stages == ("b_grow@one", "b_grow@two") and behind.sections == ("b.grown.one", "b.grown.two")
    assert behind.fingerprints == ("fingerprints/b/grow/one.json", "fingerprints/b/grow/two.json")


@pytest.mark.parametrize("size", [PROJECT, PROJECT / "mini"], ids=["published", "mini"])
def test_every_claims_sections_are_frozen(size):
    tier, name = ("mini", "mini") if size.name == "mini" else ("paper", "published")
    frozen = yaml.safe_load((PROJECT / "claims" / f"{name}_params.yaml").read_text())
    for file in {claim.metric.file for claim in read_all_claims(PROJECT / "claims") if claim.tier == tier}:
        sections = lineage(size, file).sections
        assert [name for name in sections if section_of(frozen, name) is None] == [], file


def test_only_fingerprints_of_the_lineage_are_listed(folder):
    for name in ("b/train/1", "b/train/2", "c/other"):
        path = folder / f"fingerprints/{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    found = lineage(folder, "metrics/b/test.json").fingerprint_files(folder)
    assert [path.name for path in found] == ["1.json", "2.json"]


def test_a_metric_that_no_stage_writes_is_refused(folder):
    with pytest.raises(Refusal, match="no stage writes metrics/b/train/deeper/1.json"):
        lineage(folder, "metrics/b/train/deeper/1.json")


def test_a_folder_without_a_pipeline_is_refused(tmp_path):
    with pytest.raises(Refusal, match="dvc.yaml"):
        lineage(tmp_path, "metrics/b/test.json")


def test_the_track_2_metric_rests_on_training_but_not_on_what_another_system_trains():
    behind = lineage(PROJECT, "metrics/isc_track2/test/trained.json")
    assert {"isc_track2_train", "isc_track2_generate", "inputs"} <= set(behind.stages)
    assert {"isc_track2.network", "isc_track2.train"} <= set(behind.sections)
    assert not [name for name in behind.stages if name.startswith("isc_track1")]


@pytest.mark.parametrize("size", [PROJECT, PROJECT / "mini"], ids=["published", "mini"])
def test_the_track_1_submission_rests_on_every_training(size):
    behind = lineage(size, "metrics/isc_track1/fuse.json")
    for stage in ("generate", "pairs", "pretrain", "train", "train_pairs", "extract", "normalise", "faces"):
        assert "isc_track1_" + stage in behind.stages
    assert "isc_overlays_train" in behind.stages and "isc_track2_train" not in behind.stages
