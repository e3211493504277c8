from __future__ import annotations

import json

import pytest
import yaml

from checks.cli import main
from checks.data import survey
from checks.raw_data.plan import plan_text, summary
from checks.size import PROJECT

ROW = {
    "path": "raw/photos",
    "used_by": "isc",
    "count": 2,
    "first": None,
    "last": None,
    "licence": "CC0",
    "source": "the photographer",
    "place": "raw/photos",
}


@pytest.fixture
def size(tmp_path):
    (tmp_path / "raw/photos").mkdir(parents=True)
    for name in "ab":
        (tmp_path / f"raw/photos/{name}.jpg").write_bytes(b"xyz")
    inputs = {
        "photos": ROW,
        "gated": {
            **ROW,
            "path": "raw/gated",
            "place": "raw/gated",
            "access": "agreement",
            "licence": "terms",
        },
        "short": {**ROW, "count": 3},
        "extra": {**ROW, "path": "raw/x", "used_by": None, "count": None, "licence": None, "access": None},
    }
    (tmp_path / "inputs.yaml").write_text(yaml.safe_dump(inputs, sort_keys=False))
    return tmp_path


def run(size, *options, code=0):
    with pytest.raises(SystemExit) as end:
        main(["data", "--size", str(size), *options])
    assert end.value.code == code


def test_the_plan_lists_every_set_and_ends_well_whatever_is_missing(size, capsys):
    run(size, "--plan")
    said = capsys.readouterr()
    table = [line.split() for line in said.out.split("\n")[1:5]]
    assert table == [
        ["photos", "there", "2", "6", "open", "isc"],
        ["gated", "missing", "2", "–", "agreement", "isc"],
        ["short", "wrong", "2", "6", "open", "isc"],
        ["extra", "missing", "–", "–", "–", "optional"],
    ]
    assert "gated: nothing at raw/gated\n    get it from: the photographer (after an agreement)" in said.out
    assert "short: 2 files, expected 3" in said.out and "licence:     not stated" in said.out
    assert "licence of photos: CC0" in said.out and said.err == ""
    assert not (size / "inputs").exists()


def test_the_plan_as_json_says_where_everything_comes_from_and_belongs(size, capsys):
    run(size, "--plan", "--json")
    rows = {row["dataset"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["photos"]["state"], rows["photos"]["bytes"], rows["photos"]["problems"]) == ("there", 6, [])
    assert rows["gated"]["problems"] == ["nothing at raw/gated"] and rows["gated"]["access"] == "agreement"
    assert rows["gated"]["place"] == str(size / "raw/gated") and rows["gated"]["source"] == "the photographer"
    assert rows["short"]["state"] == "wrong" and rows["extra"]["optional"] and not rows["gated"]["optional"]


def test_a_failed_check_prints_the_plan_and_then_what_is_wrong(size, capsys):
    run(size, code=2)
    said = capsys.readouterr()
    assert [line.split()[:2] for line in said.out.split("\n")[1:4]] == [
        ["photos", "there"],
        ["gated", "missing"],
        ["short", "wrong"],
    ]
    assert "extra" not in said.out
    assert (
        said.err.startswith("encore: 2 of 3 raw data sets of") and "get it from: the photographer" in said.err
    )
    run(size, "--json", code=2)
    assert [row["dataset"] for row in json.loads(capsys.readouterr().out)] == ["photos", "gated", "short"]


def test_the_summary_counts_what_a_stage_needs(size):
    states = survey(size)
    assert summary(states) == "1 there, 1 missing, 1 wrong"
    assert plan_text(size, states).count("get it from") == 3


def test_the_plan_of_the_published_size_names_every_source(capsys):
    run(PROJECT, "--plan", "--used-by", "reid")
    said = capsys.readouterr().out
    for text in ("12,936", "3,368", "19,732", "agreement", "for academic research only"):
        assert text in said
