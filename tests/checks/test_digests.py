from __future__ import annotations

import json

import pytest

from checks.digests import HEAD, Digest, compare_digests, read_digests, record_digests
from encore.data.manifest import Manifest
from encore.runtime.refusal import Refusal
from tests.checks.test_verify import run

FIRST, SECOND, OTHER = "1" * 64, "2" * 64, "3" * 64


def generate(size, name, digest):
    """A data set of which there is a manifest alone."""
    folder = size / "data" / name
    folder.mkdir(parents=True, exist_ok=True)
    Manifest(0, 0, 0, (), digest, "recipe").write(folder)


@pytest.fixture
def size(tmp_path):
    """A size with two data sets, on record for cuda101."""
    generate(tmp_path, "train", FIRST)
    generate(tmp_path, "test", SECOND)
    record_digests(tmp_path, "cuda101")
    return tmp_path


def test_what_is_found_is_what_is_on_record(size, capsys):
    assert compare_digests(size, "cuda101") == [Digest("test", SECOND, SECOND), Digest("train", FIRST, FIRST)]
    assert run("digests", size, "--environment", "cuda101") == 0
    printed = capsys.readouterr().out.replace("\n", "")
    assert "train" in printed and "recorded" in printed


def test_one_differs(size, capsys):
    generate(size, "train", OTHER)
    assert [row.holds for row in compare_digests(size, "cuda101")] == [True, False]
    assert run("digests", size, "--environment", "cuda101", "--json") == 1
    assert json.loads(capsys.readouterr().out) == [
        {"data_set": "test", "recorded": SECOND, "found": SECOND},
        {"data_set": "train", "recorded": FIRST, "found": OTHER},
    ]
    assert run("digests", size, "--environment", "cuda101", "--data-set", "test") == 0
    assert run("digests", size, "--environment", "cuda101", "--data-set", "train", "--data-set", "test") == 1


def test_one_is_not_generated_here(size, capsys):
    (size / "data" / "test" / "manifest.json").unlink()
    assert compare_digests(size, "cuda101")[0] == Digest("test", SECOND, None)
    assert run("digests", size, "--environment", "cuda101") == 1
    assert "–" in capsys.readouterr().out


def test_nothing_found_and_nothing_on_record_does_not_hold():
    assert not Digest("train", None, None).holds


def test_one_without_a_record_is_not_compared(size):
    generate(size, "more", OTHER)
    assert [row.data_set for row in compare_digests(size, "cuda101")] == ["test", "train"]


def test_each_environment_has_its_own(size):
    generate(size, "train", OTHER)
    record_digests(size, "cuda118")
    assert read_digests(size) == {
        "cuda101": {"test": SECOND, "train": FIRST},
        "cuda118": {"test": SECOND, "train": OTHER},
    }
    assert all(row.holds for row in compare_digests(size, "cuda118"))
    assert not all(row.holds for row in compare_digests(size, "cuda101"))


def test_the_record_says_where_it_comes_from_and_is_the_same_again(size):
    text = (size / "digests.yaml").read_text()
    assert text == HEAD + f"cuda101:\n  test: '{SECOND}'\n  train: '{FIRST}'\n"
    record_digests(size, "cuda101")
    assert (size / "digests.yaml").read_text() == text


@pytest.mark.parametrize("digest", ["0" * 64, "1e" + "1" * 62, "0x" + "1" * 62, "0o17", "12345.5e10"])
def test_a_digest_that_looks_like_a_number_stays_text(size, digest):
    generate(size, "train", digest)
    record_digests(size, "cuda101")
    assert read_digests(size)["cuda101"]["train"] == digest


def test_recording_by_command(size, capsys):
    generate(size, "train", OTHER)
    assert run("digests", size, "--environment", "cuda101", "--record", "--json") == 0
    assert json.loads(capsys.readouterr().out)[1]["recorded"] == OTHER
    assert run("digests", size, "--environment", "cuda101") == 0


def refused(*arguments, capsys):
    assert run("digests", *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_an_environment_without_a_record(size, capsys):
    line = refused(size, "--environment", "cuda102", capsys=capsys)
    assert line.endswith("digests.yaml: cuda102: no digests on record; there are: cuda101")


def test_no_record_at_all(tmp_path, capsys):
    assert read_digests(tmp_path) == {}
    (tmp_path / "digests.yaml").write_text(HEAD)
    assert refused(tmp_path, "--environment", "cpu", capsys=capsys).endswith("there are: none")


def test_a_data_set_that_is_not_on_record(size, capsys):
    line = refused(size, "--environment", "cuda101", "--data-set", "trian", capsys=capsys)
    assert line.endswith("digests.yaml: cuda101: trian: no such data set on record")


def test_nothing_to_record(tmp_path, capsys):
    line = refused(tmp_path, "--environment", "cpu", "--record", capsys=capsys)
    assert line.endswith("data: no data set there: run the stages that generate them first")
    assert not (tmp_path / "digests.yaml").exists()


def test_a_broken_manifest(size):
    (size / "data" / "train" / "manifest.json").write_text("{}")
    with pytest.raises(Refusal, match="not a manifest"):
        compare_digests(size, "cuda101")
