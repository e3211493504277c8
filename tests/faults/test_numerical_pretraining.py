"""Numerical faults in pre-training, and that what is lost is told."""

import contextlib

import pytest

from encore.systems.momentum2_teacher.pretraining import Training
from faults.numerical import pretraining
from faults.numerical.refused_run import refused_rows


def test_nothing_is_lost():
    rows = list(pretraining.rows(full=False))
    assert len(rows) == 2 * len(pretraining.SHORT)
    assert all(row.survived == row.injected == 1 for row in rows), rows


def test_a_teacher_that_is_not_put_back_is_told_of(tmp_path, monkeypatch):
    names = pretraining.draw_pictures(tmp_path / "pictures")
    monkeypatch.setattr(Training, "_unchanged_by_a_fault", lambda self: contextlib.nullcontext())
    (row,) = refused_rows(pretraining.momentum2_trainer(tmp_path / "pictures", names), ["NaN loss"])
    assert row.lost == 1 and "is not that of an undisturbed run" in row.losses[0]


@pytest.mark.parametrize(
    "make, module",
    [
        (pretraining.momentum2_trainer, "encore.systems.momentum2_teacher.pretraining"),
        (pretraining.barlow_trainer, "encore.systems.barlow_twins"),
    ],
)
def test_a_replay_that_saves_between_steps_is_told_of(tmp_path, monkeypatch, make, module):
    names = pretraining.draw_pictures(tmp_path / "pictures")
    monkeypatch.setattr(module + ".wanted", lambda start: None)
    (row,) = refused_rows(make(tmp_path / "pictures", names), ["constant batch"])
    assert "--replay-step from the start has changed a file" in row.losses[0]
