from __future__ import annotations

from pathlib import Path

import pytest

from checks.claims import read_all_claims
from checks.lineage import lineage
from checks.runs.dvc_lock import Locked, behind, feeding, in_order, read_lock, writers
from encore.runtime.refusal import Refusal

PROJECT = Path(__file__).parents[2]


def stage(deps, outs):
    return Locked("x", dict.fromkeys(deps, "0"), {}, {path: {"md5": "0"} for path in outs})


STAGES = {
    "late": stage(["models/net", "data"], ["metrics/late.json"]),
    "train": stage(["data/one"], ["models/net"]),
    "two": stage(["data/one/part.json"], ["data/two"]),
    "one": stage(["../code.py"], ["data/one"]),
    "other": stage(["data/three"], ["models/other"]),
}


def test_a_stage_stands_after_those_it_reads_from():
    order = in_order(STAGES)
    assert order.index("one") < order.index("train") < order.index("late")
    assert sorted(order) == sorted(STAGES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train", ["one"]),  # the output itself
        ("two", ["one"]),  # a file inside it
        ("late", ["train", "two", "one"]),  # itself, and a folder above two of them
        ("other", []),  # data/three: nobody's, though others write below data
    ],
)
def test_what_feeds_a_stage(name, expected):
    assert feeding(STAGES[name], writers(STAGES)) == expected


def test_what_a_file_rests_on():
    assert behind(STAGES, "models/net") == ["train", "one"]
    assert behind(STAGES, "metrics/none.json") == []


def test_stages_that_feed_each_other_are_all_listed():
    rows = {"a": stage(["b"], ["a"]), "b": stage(["a"], ["b"])}
    assert sorted(in_order(rows)) == ["a", "b"] and sorted(behind(rows, "a")) == ["a", "b"]


def test_a_lock_file_is_read_again_when_it_changed(tmp_path):
    path = tmp_path / "dvc.lock"
    path.write_text("stages: {a: {cmd: one}}")
    assert read_lock(tmp_path)["a"].cmd == "one"
    path.write_text("stages: {a: {cmd: another}}")
    assert read_lock(tmp_path)["a"].cmd == "another"


def test_what_a_stage_read_and_its_sections_are_there_as_dvc_wrote_them(tmp_path):
    row = "{cmd: [x, y], deps: [{path: b, md5: c.dir, size: 3, nfiles: 2}, {path: d}], "
    row += "params: {p.yaml: {s: {t: 1}}}}"
    (tmp_path / "dvc.lock").write_text(f"stages: {{a: {row}}}")
    found = read_lock(tmp_path)["a"]
    assert found.cmd == "x && y" and found.deps == {"b": "c.dir", "d": ""}
    assert found.read == {"b": {"md5": "c.dir", "size": 3, "nfiles": 2}, "d": {}}
    assert found.sections == {"p.yaml": {"s": {"t": 1}}} and found.outs == {}


def test_parameters_are_read_by_dotted_key(tmp_path):
    (tmp_path / "dvc.lock").write_text("stages: {a: {cmd: x, params: {p.yaml: {s.t: {u: {v: [1]}, w: 2}}}}}")
    assert read_lock(tmp_path)["a"].params == {"s.t.u.v": [1], "s.t.w": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such file"),
        ("stages: [", "not YAML"),
        ("[]", "expected a mapping with stages"),
        ("stages: 3", "expected a mapping with stages"),
        ("stages: {a: 3}", "stages.a: not a stage"),
        ("stages: {a: {deps: []}}", "stages.a: not a stage"),
        ("stages: {a: {cmd: x, outs: [{md5: y}]}}", "stages.a: not a stage"),
        ("stages: {a: {cmd: x, outs: [{path: 3}]}}", "stages.a: not a stage"),
        ("stages: {a: {cmd: x, deps: [{path: [b]}]}}", "stages.a: not a stage"),
        ("stages: {a: {cmd: x, deps: [{path: b, md5: 3}]}}", "expected str, found 3"),
        ("stages: {a: {cmd: x, outs: [{path: b, size: many}]}}", "expected int, found 'many'"),
        ("stages: {a: {cmd: x, outs: [b]}}", "stages.a: not a stage"),
        ("stages: {a: {cmd: x, outs: 3}}", "stages.a: not a stage"),
        ("stages: {a: {cmd: x, params: {p.yaml: [b]}}}", "stages.a: not a stage"),
        ("stages: {a: {cmd: x, params: [b]}}", "stages.a: not a stage"),
        ("stages: {a: {cmd: 3}}", "stages.a: not a stage"),
        ("stages: {a: {cmd: x}, a: {cmd: y}}", "a: this key is there twice"),
    ],
)
def test_a_lock_file_that_is_missing_or_broken_is_refused_by_name(tmp_path, text, said):
    if text is not None:
        (tmp_path / "dvc.lock").write_text(text)
    with pytest.raises(Refusal) as refusal:
        read_lock(tmp_path)
    assert said in str(refusal.value) and str(tmp_path / "dvc.lock") in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_stages_behind_a_claim_are_of_its_lineage():
    """The lock file of the mini run, which knows every item, against what `checks.lineage` reads out of
    dvc.yaml."""
    locked = read_lock(PROJECT / "mini")
    claims = [claim for claim in read_all_claims(PROJECT / "claims") if claim.tier == "mini"]
    for file in sorted({claim.metric.file for claim in claims}):
        found = behind(locked, file)
        allowed = {name.partition("@")[0] for name in lineage(PROJECT / "mini", file).stages}
        assert found and {name.partition("@")[0] for name in found} <= allowed, file
