"""A DVC cache that two users share, by the short suite `storage`, and what that suite finds wrong."""

from __future__ import annotations

import os
import shutil

import pytest

from faults.storage import shared_cache
from faults.storage.tiny_pipeline import FILES, STAGES, TinyPipeline, cache_problems, object_path


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A project on a shared cache that has run once."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "cache").mkdir()
    project = TinyPipeline(folder / "project", folder / "cache")
    project.run("repro")
    return project


@pytest.fixture
def project(ran, tmp_path):
    """A copy of it, to be damaged."""
    shutil.copytree(ran.folder, tmp_path / "project", dirs_exist_ok=True)
    shutil.copytree(ran.cache, tmp_path / "cache")
    copy = object.__new__(TinyPipeline)
    copy.__dict__.update(ran.__dict__, folder=tmp_path / "project", cache=tmp_path / "cache")
    copy._configure(shared=True)
    return copy


def objects(project):
    return [path for path in (project.cache / "files").rglob("*") if path.is_file()]


def test_both_users_end_with_their_results_and_a_whole_cache():
    rows = list(shared_cache.rows(full=False))
    assert {row.kind for row in rows} == {"the same stages at once", "SIGKILL of one"}
    for row in rows:
        assert row.lost == 0, row.losses
        assert row.injected == 1 or row.skipped
    assert os.geteuid() != 0 or any(row.place.endswith("two users") for row in rows)


def test_a_project_that_has_run_lacks_nothing(ran):
    assert ran.problems() == [] and ran.missing_objects() == [] and cache_problems(ran.cache) == []
    assert len(objects(ran)) == STAGES * FILES + STAGES  # every file, and the list of each output
    assert {path.stat().st_mode & 0o777 for path in objects(ran)} == {0o444}
    folders = [path for path in ran.cache.rglob("*") if path.is_dir()]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o775}


def test_a_changed_object_is_found(project):
    path = objects(project)[0]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    found = cache_problems(project.cache)
    assert len(found) == 1 and "its bytes are not those of its name" in found[0]


def test_an_object_that_is_gone_is_found(project):
    listed = next(path for path in objects(project) if path.suffix == ".dir")
    listed.unlink()
    (digest,) = project.missing_objects()
    assert object_path(project.cache, digest) == listed


def test_an_output_that_is_gone_is_found(project):
    (project.folder / "out1" / "3.bin").unlink()
    found = project.problems()
    assert len(found) == 2 and "out1/3.bin" in found[0] and "dvc status" in found[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another group")
def test_a_cache_that_is_closed_to_the_group_is_found(project):
    _, group = shared_cache.other_users(0)
    found = cache_problems(project.cache, group)  # it belongs to the group of whoever runs the tests
    assert any("cannot write there" in problem for problem in found)
    assert any("cannot read it" in problem for problem in found)


def test_a_fault_that_loses_something_is_a_loss():
    row = shared_cache.row("here", "two faults", [lambda both: [], lambda both: ["a", "b"]])
    assert (row.injected, row.survived, row.losses) == (2, 1, ("a; b",))


def test_a_fault_that_comes_too_late_is_tried_again_and_never_survived():
    late = iter([None, None, []])
    row = shared_cache.row("here", "late once more", [lambda both: next(late)])
    assert (row.injected, row.survived, next(late, "none left")) == (1, 1, "none left")
    row = shared_cache.row("here", "always late", [lambda both: None])
    assert row.lost == 1 and "had ended before the fault" in row.losses[0]
