"""Numerical faults in ISC's training and the detector's, and that the suite tells of a broken trainer."""

from unittest import mock

import pytest

from encore.systems.isc import training as isc_training
from encore.training import loop
from encore.training.checkpoint_files import Position
from faults.numerical import replayed
from faults.numerical.isc import ISC
from faults.numerical.overlays import OVERLAYS
from faults.numerical.trainer import FAULTS, Undisturbed, losses, numerical_rows
from faults.processes import tiny_isc, tiny_overlays


@pytest.mark.parametrize("trainer", [ISC, OVERLAYS], ids=lambda trainer: trainer.place)
def test_every_kind_is_survived(trainer, tmp_path):
    rows = list(numerical_rows(trainer, str(tmp_path)))
    assert [row.kind for row in rows] == list(FAULTS)
    assert [row.losses for row in rows] == [()] * len(FAULTS)


@pytest.mark.parametrize("size", [tiny_isc, tiny_overlays], ids=lambda size: size.SYSTEM)
def test_a_fault_is_shown_again_by_the_stage_s_command_line(size):
    row = replayed.replay_row(size.SYSTEM, size)
    assert (row.injected, row.losses) == (1, ())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    ISC.build(str(folder / "size"))
    return Undisturbed(ISC, str(folder / "size"), str(folder))


def lost(undisturbed, folder, kind="NaN loss"):
    return losses(ISC, undisturbed, kind, str(folder), Position(1, 1))


def test_running_statistics_that_are_not_put_back_are_lost(undisturbed, tmp_path):
    class Forgets(loop.RefusedStep):
        def refusal(self, position, fault):
            self._places = []
            return super().refusal(position, fault)

    with mock.patch.object(loop, "RefusedStep", Forgets):
        found = lost(undisturbed, tmp_path)
    assert any("the state before the step" in text and "running_mean" in text for text in found)
    assert any("the mended run's end" in text for text in found)


def test_a_run_that_goes_on_is_lost(undisturbed, tmp_path):
    with mock.patch.object(isc_training, "check_step"):
        assert lost(undisturbed, tmp_path, "constant batch") == ["the run went on"]


def test_an_update_before_the_check_is_lost(undisturbed, tmp_path):
    class Hasty(isc_training.IscTraining):
        def step(self, epoch, step, batch):
            with mock.patch.object(isc_training, "check_step"):
                result = super().step(epoch, step, batch)
            isc_training.check_step(result.loss, result.terms)
            return result

    with mock.patch.object(isc_training, "IscTraining", Hasty):
        found = lost(undisturbed, tmp_path)
    assert any("the state before the step" in text for text in found)


def test_a_replay_that_writes_or_does_not_show_the_fault_is_lost(tmp_path):
    starts = []

    class Fake:
        """Stands for Launched: the first start is refused; the second writes a file and shows nothing."""

        def __init__(self, folder, module, arguments=()):
            self.folder = folder
            starts.append(arguments)

        def finish(self):
            if len(starts) == 1:
                text = '{"fault": "the loss is nan", "epoch": 0, "step": 1, "batch": ["7_1.png"]}'
                (tmp_path / "size" / replayed.FAULT_FILE).write_text(text)
                return 2, "look at it with --replay-step 0:1"
            (tmp_path / "size" / "checkpoint").write_text("new")
            return 0, "epoch 0, step 1: finite"

    (tmp_path / "size").mkdir()
    with mock.patch.object(replayed, "Launched", Fake):
        found = replayed.losses(tiny_isc, str(tmp_path / "size"))
    assert starts[1] == ("--replay-step", "0:1")
    assert len(found) == 3 and "status 0" in found[0] and found[2] == "it changed checkpoint"
