"""The suite of numerical faults in fkd at its short scale, and against a trainer that loses something."""

import subprocess
import types

import pytest

from encore.systems.fkd import training
from faults import tiny_fkd
from faults.numerical import fkd
from faults.numerical.fkd import SHORT, Undisturbed, refusal_losses, replay_losses, row


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return Undisturbed(tmp_path_factory.mktemp("whole"), SHORT[0][0])


def test_a_fault_is_survived(whole, tmp_path):
    found = row(tmp_path, whole, SHORT[0][1])
    assert (found.injected, found.lost, found.losses) == (1, 0, ())
    assert (found.suite, found.place, found.kind) == ("numerical", "fkd_train", "NaN loss")


def test_counters_that_change_before_the_check_are_a_loss(whole, tmp_path, monkeypatch):
    check = training.check_step

    def counting(loss, *rest):
        run.sums["rows"] += 1
        check(loss, *rest)

    own = training.Training.finish

    def finish(self, *arguments):
        nonlocal run
        run = self
        return own(self, *arguments)

    run = None
    monkeypatch.setattr(training, "check_step", counting)
    monkeypatch.setattr(training.Training, "finish", finish)
    found = row(tmp_path, whole, "exploding")
    assert found.lost == 1 and "the state saved is not that" in found.losses[0]


def test_a_trainer_that_does_not_look_is_a_loss(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "check_step", lambda *arguments: None)
    found = row(tmp_path, whole, "constant")
    assert found.lost == 1 and "status 0, expected 2" in found.losses[0]


@pytest.mark.parametrize("stage", fkd.LOOKED_AT)
def test_a_step_that_is_looked_at_from_the_start_is_shown_and_writes_nothing(stage, tmp_path):
    tiny_fkd.write_project(tmp_path)
    assert replay_losses(tmp_path, stage, run_in_a_fork) == []


def test_a_replay_that_writes_is_a_loss(tmp_path, monkeypatch):
    tiny_fkd.write_project(tmp_path)
    monkeypatch.setattr(training, "replay_step", types.SimpleNamespace(wanted=lambda start: None))
    (found,) = replay_losses(tmp_path, "fkd_train", run_in_a_fork)
    assert found.startswith("files have changed: .work/fkd.train.small/")


def run_in_a_fork(place, stage, *flags, poison=None):
    """As `tiny_fkd.run`; what is said is not left in the folder."""
    (status,), (said,) = tiny_fkd.run_forked(place, stage, *flags, poison=poison)
    (place / "said.0").unlink()
    return subprocess.CompletedProcess(flags, status, said, said)


def test_a_message_without_step_or_pictures_is_a_loss(tmp_path):
    assert refusal_losses(2, "encore: the loss is nan\n", tmp_path)
    assert refusal_losses(2, "encore: fkd: epoch 1, step 2: the loss is nan\n", tmp_path)[0].startswith(
        "the line names no pictures"
    )
    assert set(fkd.KINDS) == {"nan", "inf", "exploding", "constant"}
