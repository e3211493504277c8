"""From every verdict back to the raw data, and what is said when bytes on the way are others."""

from __future__ import annotations

import hashlib
import json

import pytest

from checks.cli import main
from checks.provenance.crate import write_crate
from checks.provenance.reading import Crate
from checks.provenance.trace import lines, trace
from checks.verify import verify, write_verdicts
from encore.runtime.refusal import Refusal
from tests.checks.conftest import claim_row
from tests.checks.crate_project import change_lock, write_lock, write_run


@pytest.fixture
def ran(project):
    write_run(project)
    write_crate(project.size())
    return project


def crate_folder(project):
    return project.mini / "report/crate"


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code or 0


def test_a_verdict_leads_to_the_bytes_that_it_rests_on_and_to_no_others(ran):
    found = trace(crate_folder(ran), "mini_score")
    assert [step.name for step in found.steps if step.kind == "stage" and not step.again] == [
        "toy_test",
        "toy_train",
        "inputs",
    ]
    assert found.raw_data == ["#data/photos"] and found.problems == []  # nothing rests on the faces
    by_name = {step.name: step for step in found.steps}
    assert "licence: CC0" in by_name["photos"].text
    assert by_name["photos"].sha256 == hashlib.sha256(b"pixels").hexdigest()
    assert by_name["mini/metrics/toy/test.json"].state == "held"
    assert by_name["mini/models/toy/weights.pth"].md5 == hashlib.md5(b"weights").hexdigest()
    assert by_name["src/toy.py"].kind == "code" and by_name["toy_train"].text.endswith("c0ffee")
    assert by_name["toy.train"].text == "2 values"
    assert "image none" in by_name["environment local"].text


def test_every_verdict_of_a_run_is_followed(ran):
    ran.set_claims(claim_row(), claim_row(id="mini_other", gating=False, tolerance={"kind": "exact"}))
    write_verdicts(ran.size(), verify(ran.size()))
    write_crate(ran.size())
    crate = Crate(crate_folder(ran))
    verdicts = [row["id"] for row in json.loads((ran.mini / "report/verdicts.json").read_text())]
    assert verdicts == ["mini_score", "mini_other"]
    for claim in verdicts:
        found = trace(crate, claim)
        assert found.raw_data == ["#data/photos"] and found.problems == []
        assert found.steps[1].id == f"#claim/{claim}"


def test_evidence_is_followed_beside_the_metric(ran):
    ran.write("mini/evidence/toy/test.npz", "arrays")
    row = {
        "path": "evidence/toy/test.npz",
        "hash": "md5",
        "md5": hashlib.md5(b"arrays").hexdigest(),
        "size": 6,
    }
    change_lock(ran, lambda stages: stages["toy_test"]["outs"].append(row))
    write_crate(ran.size())
    found = trace(crate_folder(ran), "mini_score")
    assert [step.name for step in found.steps if step.kind == "evidence"] == ["mini/evidence/toy/test.npz"]
    assert (crate_folder(ran) / "mini/evidence/toy/test.npz").read_bytes() == b"arrays"


@pytest.mark.parametrize(
    "name", ["mini/metrics/toy/test.json", "src/toy.py", "mini/inputs/photos.json", "locks/cpu.txt"]
)
def test_a_file_changed_in_the_crate_is_named(ran, name, capsys):
    (crate_folder(ran) / name).write_text("changed")
    line = f"{name}: not the bytes that the crate was made with: its SHA-256 differs"
    found = trace(crate_folder(ran), "mini_score")
    assert found.problems == [line]
    assert {step.name for step in found.steps if step.state == "changed"} == {name}
    assert any(f"{name}, changed" in text for text in lines(found))
    assert Crate(crate_folder(ran)).problems() == [line]
    assert run("crate", ran.mini, "--claims", ran.claims, "--check") == 1
    assert line in capsys.readouterr().err
    assert run("crate", ran.mini, "--claims", ran.claims, "--trace", "mini_score") == 1


def test_a_digest_changed_with_its_file_is_named_by_the_md5_of_the_run(ran):
    path = crate_folder(ran) / "ro-crate-metadata.json"
    (crate_folder(ran) / "src/toy.py").write_text("RATE = 9\n")
    old = Crate(crate_folder(ran)).first("src/toy.py", "sha256")
    path.write_text(path.read_text().replace(old, hashlib.sha256(b"RATE = 9\n").hexdigest()))
    assert Crate(crate_folder(ran)).problems() == [
        "src/toy.py: not the bytes that its stage met: its md5 differs"
    ]


def test_a_file_taken_from_the_crate_or_put_into_it_is_named(ran):
    (crate_folder(ran) / "src/toy.py").unlink()
    (crate_folder(ran) / "more.txt").write_text("x")
    assert Crate(crate_folder(ran)).problems() == [
        "src/toy.py: not in the crate any more",
        "more.txt: in the folder, and not in the crate",
    ]


@pytest.mark.parametrize("name", ["mini/photos.tar", "mini/models/toy"])
def test_bytes_outside_the_crate_are_hashed_where_they_lie(ran, name):
    assert trace(crate_folder(ran), "mini_score", ran.root).problems == []
    change_lock(ran, lambda stages: stages["toy_test"]["deps"][0].update(_folder(stages)))
    write_crate(ran.size())
    assert trace(crate_folder(ran), "mini_score", ran.root).problems == []
    path = ran.root / name
    (path / "weights.pth" if path.is_dir() else path).write_text("others")
    place = "mini/photos.tar#all" if path.is_file() else name
    line = f"{place}: not the bytes that the run recorded: its digest differs"
    assert trace(crate_folder(ran), "mini_score", ran.root).problems == [line]
    assert trace(crate_folder(ran), "mini_score").problems == []  # a crate alone does not know
    assert run("crate", ran.mini, "--claims", ran.claims, "--trace", "mini_score", "--bytes") == 1


def _folder(stages):
    """The whole folder in place of the one small file of it that toy_test reads, which the crate holds."""
    (folder,) = [row for row in stages["toy_train"]["outs"] if row["path"] == "models/toy"]
    return folder


def test_a_stage_that_read_what_is_no_longer_written_is_named(ran):
    change_lock(ran, lambda stages: stages["toy_train"]["deps"][2].update(md5="0" * 32))
    write_crate(ran.size())
    found = trace(crate_folder(ran), "mini_score")
    assert found.problems == [
        "mini/inputs/photos.json: written again since a later stage read it: run the stages again"
    ]


def test_what_was_told_is_not_told_again(ran):
    text = "\n".join(lines(trace(crate_folder(ran), "mini_score")))
    assert text.count("stage: inputs") == 1 and "environment: environment local" in text
    assert "code: 2 files, held" in text


def test_the_way_as_json(ran, capsys):
    assert run("crate", ran.mini, "--claims", ran.claims, "--trace", "mini_score", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == []
    assert found["steps"][0]["name"] == "mini_score: reproduced"
    assert {"raw data", "stage", "code", "metric", "parameters"} <= {step["kind"] for step in found["steps"]}


def test_an_unknown_claim_is_refused_with_those_there_are(ran, capsys):
    assert run("crate", ran.mini, "--claims", ran.claims, "--trace", "mini_scroe") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("no verdict on mini_scroe in this crate; there are mini_score")


@pytest.mark.parametrize("text", [None, "{", "[]", '{"@graph": [{}]}'])
def test_a_folder_that_is_no_crate_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "ro-crate-metadata.json").write_text(text)
    with pytest.raises(Refusal, match="ro-crate-metadata.json: no"):
        Crate(tmp_path)


def test_a_crate_is_followed_far_from_its_project(ran, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "crate"
    crate_folder(ran).rename(elsewhere)
    write_lock(ran, without=["toy_test"])
    assert trace(elsewhere, "mini_score").raw_data == ["#data/photos"]
