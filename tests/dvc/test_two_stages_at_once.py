"""Two stages of a matrix at once, by the short suite `storage`, and what that suite finds wrong."""

from __future__ import annotations

import shutil

import pytest

from faults.storage import two_at_once
from tests.outside_programs import lacking


@pytest.fixture(autouse=True)
def programs():
    for name in ("make", "flock"):
        if shutil.which(name) is None:
            lacking(f"{name} is not installed")


def test_each_runs_on_its_own_gpu_and_both_are_on_record():
    (row,) = two_at_once.rows(full=False)
    assert (row.injected, row.survived) == (1, 1), row.losses


def test_stages_that_did_not_run_at_the_same_time_or_not_on_their_gpus_are_found():
    with two_at_once.matrix() as matrix:
        (matrix.folder / "model0").write_text("none")
        (matrix.folder / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
        found = matrix.problems()
    assert any("made on none and missing" in problem for problem in found)
    assert any("dvc.lock holds []" in problem for problem in found)
    assert any("dvc status" in problem for problem in found)
