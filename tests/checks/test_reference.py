from __future__ import annotations

import json

import pytest

from checks.cli import main
from checks.runs.reference import reference_file, write_reference
from checks.runs.run_record import RunRecord
from checks.size import Size
from encore.runtime.refusal import Refusal
from tests.checks.toy_run import ToyRun


@pytest.fixture
def size(tmp_path):
    return ToyRun(tmp_path / "mini").claim_size(tmp_path)


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code


def test_the_reference_is_stored_beside_the_claims(size):
    path = write_reference(size)
    assert path == size.claims / "reference/mini.json" == reference_file(size)
    assert RunRecord.of_file(path) == RunRecord.of_folder(size.folder)


def test_that_of_the_published_size_has_its_own_file(tmp_path):
    (tmp_path / "claims").mkdir()
    assert reference_file(Size.of(tmp_path, tmp_path / "claims")).name == "published.json"


def test_the_command_writes_it_and_prints_where(size, capsys, tmp_path):
    assert run("reference", size.folder, "--claims", size.claims) == 0
    assert capsys.readouterr().out.split() == [str(reference_file(size))]
    path = tmp_path / "own.json"
    assert run("reference", size.folder, "--output", path, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(path), "bytes": path.stat().st_size}
    assert path.read_bytes() == reference_file(size).read_bytes()


def test_a_run_that_was_changed_is_no_reference(size):
    (size.folder / "models/toy/net.pth").write_text("another net")
    with pytest.raises(Refusal, match="models/toy/net.pth was changed after its stage wrote it"):
        write_reference(size)
    assert not reference_file(size).exists()


@pytest.mark.parametrize("path", ["metrics/toy/test.json", "fingerprints/toy/train.json"])
def test_a_run_that_lacks_a_metric_or_fingerprint_is_no_reference(size, path):
    (size.folder / path).unlink()
    with pytest.raises(Refusal, match=f"{path}: missing"):
        write_reference(size)


def test_a_folder_without_a_run_is_refused_by_the_command(tmp_path, capsys):
    (tmp_path / "mini").mkdir()
    assert run("reference", tmp_path / "mini", "--output", tmp_path / "x.json") == 2
    assert capsys.readouterr().err.count("\n") == 1
