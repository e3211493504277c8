"""Numerical faults in the drip's training, and that the suite tells of a broken trainer."""

from unittest import mock

import pytest
import torch

from encore.systems.drip import training_steps
from encore.training.checkpoint_files import Position
from faults.numerical import drip, replayed
from faults.numerical.trainer import FAULTS, Undisturbed, losses, numerical_rows
from faults.processes import tiny_drip

needs_cpu_scaler = pytest.mark.skipif(
    not hasattr(torch.amp, "GradScaler"), reason="this torch has a GradScaler for GPUs only"
)


def test_every_kind_is_survived(tmp_path):
    rows = list(numerical_rows(drip.DRIP, str(tmp_path)))
    assert [row.kind for row in rows] == list(FAULTS)
    assert [row.losses for row in rows] == [()] * len(FAULTS)


@needs_cpu_scaler
def test_half_precision_skips_steps_until_the_scale_cannot_fall(tmp_path):
    assert drip.overflow_losses(str(tmp_path)) == []


@needs_cpu_scaler
def test_a_scale_that_falls_without_end_is_lost(tmp_path):
    with mock.patch.object(training_steps.Precision, "refuse_further_skip", lambda self: None):
        assert "the run went on where every scale overflows" in drip.overflow_losses(str(tmp_path))


def test_a_fault_is_shown_again_by_the_stage_s_command_line():
    row = replayed.replay_row("drip_train", tiny_drip, {"init_lr": 1e36})
    assert (row.injected, row.losses) == (1, ())


def test_sums_that_are_counted_before_the_check_are_lost(tmp_path):
    whole = training_steps.DripTraining._check

    def check(self, loss, terms, pictures):
        self.sums["rows"] += len(pictures)
        whole(self, loss, terms, pictures)
        self.sums["rows"] -= len(pictures)

    size = str(tmp_path / "size")
    drip.DRIP.build(size)
    undisturbed = Undisturbed(drip.DRIP, size, str(tmp_path))
    with mock.patch.object(training_steps.DripTraining, "_check", check):
        found = losses(drip.DRIP, undisturbed, "NaN loss", str(tmp_path / "broken"), Position(1, 1))
    assert any("the state before the step.encore.sums.rows" in text for text in found)
