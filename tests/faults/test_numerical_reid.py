"""Numerical faults in the training of re-identification, and that what is lost is told."""

import json

import pytest

from encore.systems.reid.run_folder import RunFolder
from encore.systems.reid.training_steps import ReidTraining
from encore.training.refused_step import FAULT_FILE
from faults.numerical import equal_pictures, reid, replayed
from faults.numerical.refused_run import refused_rows
from faults.numerical.tiny_people import draw_people


def test_nothing_is_lost():
    rows = list(reid.rows(full=False))
    assert [row.kind for row in rows] == list(reid.SHORT)
    assert all(row.survived == row.injected == 1 for row in rows), rows


@pytest.fixture
def trainer(tmp_path):
    return reid.reid_trainer(tmp_path / "people", draw_people(tmp_path / "people"))


def counted_before_the_check(whole):
    def step(self, epoch, number, batch):
        self.sums["rows"] += 1
        return whole(self, epoch, number, batch)

    return step


def test_a_trainer_that_counts_before_the_check_is_told_of(trainer, monkeypatch):
    monkeypatch.setattr(ReidTraining, "step", counted_before_the_check(ReidTraining.step))
    (row,) = refused_rows(trainer, ["NaN loss"])
    assert row.lost == 1 and "is not that of an undisturbed run" in row.losses[0]


def test_a_trainer_that_checks_nothing_is_told_of(trainer, monkeypatch):
    monkeypatch.setattr("encore.systems.reid.training_steps.check_step", lambda *arguments: None)
    (row,) = refused_rows(trainer, ["constant batch"])
    assert row.losses == ("the step was made",)


def test_a_replay_that_writes_is_told_of(trainer, monkeypatch):
    begun = RunFolder.goes_on

    def writing(self):
        with open(self.file("notes"), "a") as file:
            file.write("seen\n")
        return begun(self)

    monkeypatch.setattr(RunFolder, "goes_on", lambda self: begun(self) and writing(self))
    (row,) = refused_rows(trainer, ["NaN loss"])
    assert "--replay-step has changed a file" in row.losses[0]


def test_a_replay_that_saves_between_steps_is_told_of(trainer, monkeypatch):
    monkeypatch.setattr("encore.systems.reid.training.wanted", lambda start: None)
    (row,) = refused_rows(trainer, ["NaN loss"])
    assert "--replay-step from the start has changed a file" in row.losses[0]


def test_pictures_that_are_all_the_same_by_the_command_line(tmp_path):
    names = equal_pictures.build(tmp_path)
    assert replayed.losses(equal_pictures, str(tmp_path)) == []
    (path,) = tmp_path.rglob(FAULT_FILE)
    described = json.loads(path.read_text())
    assert (described["epoch"], described["step"]) == equal_pictures.AT and described["batch"] == names
    assert described["fault"] == "all 4 pictures of the batch are the same"
