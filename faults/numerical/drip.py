"""Numerical faults in the training of the drip, in float32 and in half precision on the CPU."""

from __future__ import annotations

import os
import re
import tempfile
from unittest import mock

import torch

from encore.runtime.parameters import read_parameters
from encore.runtime.refusal import Refusal
from encore.systems.drip import published_checkpoints, training_steps
from encore.systems.drip.network import NetworkShape
from encore.systems.drip.precision import Precision
from encore.systems.drip.recipe import DripRecipe
from encore.systems.drip.stage_data import Places, open_stage_data
from encore.systems.drip.stage_run import StageRun
from encore.systems.drip.stage_values import read_stage
from encore.systems.drip.start_weights import StartWeights
from encore.systems.drip.training import train_stage
from faults.checkpoint_content import differences
from faults.judged import judged
from faults.numerical.replayed import replay_row
from faults.numerical.trainer import FAULTS, SHORT, Trainer, numerical_rows
from faults.processes import tiny_drip

SCALE = 2.0**16
"""Where the scale of the loss starts: too high for the tiny network."""


def rows(full):
    """Yield the Rows; full: also --replay-step by the stage's command line."""
    with tempfile.TemporaryDirectory() as folder:
        yield from numerical_rows(DRIP, folder, kinds=tuple(FAULTS) if full else SHORT)
        yield judged("numerical", DRIP.place, "fp16 overflow", lambda: overflow_losses(folder))
    if full:
        yield replay_row(DRIP.place, tiny_drip, {"init_lr": 1e36})


def overflow_losses(folder):
    """Train in half precision: the scale falls and steps are skipped; where it cannot fall further the run
    ends at that step, its state as it was -> texts of what was lost."""
    found, size = [], os.path.join(folder, "half")
    tiny_drip.build(size, max_epochs=2, precision=16)
    with mock.patch.object(training_steps, "Precision", _HalfOnCpu):
        done = _train(size, os.path.join(folder, "falling"))
        if not 0 < done.metrics["skipped_steps"] < done.steps:
            found.append("of %(steps)d steps %(skipped_steps)d were skipped" % dict(done.metrics))
        _HalfOnCpu.overflows_at = 4  # the number of the step, of three an epoch
        try:
            _train(size, os.path.join(folder, "always"))
            found.append("the run went on where every scale overflows")
        except Refusal as refusal:
            said = str(refusal)
            if "epoch 1, step 1: gradients overflow in half precision at every scale" not in said:
                found.append(f"it said: {said}")
            state = re.search(r"saved in (\S+);", said).group(1)
            found += _not_before(published_checkpoints.read_container(state), done)
        finally:
            _HalfOnCpu.overflows_at = None
        ended = _train(size, os.path.join(folder, "always"))
        own, expected = (published_checkpoints.read_container(run.checkpoint) for run in (ended, done))
        found += differences(own, expected, "the mended run")[:3]
    return found


def _not_before(state, done):
    """What is wrong with a state that was saved before step (1, 1) of the run `done`."""
    ours, scale = state["encore"], state[published_checkpoints.SCALER]["scale"]
    found = [] if (ours["epoch"], ours["step"]) == (1, 1) else ["the state is of another step"]
    skipped = ours["skipped"]
    if scale != SCALE / 2**skipped:
        found.append(f"{skipped} steps were skipped, but the scale is {scale:g}")
    return found


class _HalfOnCpu(Precision):
    """Half precision as on a GPU; in step number `overflows_at` the scale has fallen to 1 and a gradient is
    not finite."""

    overflows_at = None

    def __init__(self, bits, device):
        super().__init__(32, device)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=SCALE)
        self._steps = 0

    def autocast(self):
        return torch.autocast("cpu", dtype=torch.float16)

    def unscale(self, optimizer, parameters, processes, own):
        skips = super().unscale(optimizer, parameters, processes, own)
        self._steps += 1
        return skips or self._steps - 1 == self.overflows_at

    def refuse_further_skip(self):
        if self._steps - 1 == self.overflows_at:
            with mock.patch.object(self.scaler, "get_scale", lambda: 1.0):
                return super().refuse_further_skip()
        return super().refuse_further_skip()


def _train(size, folder):
    path = os.path.join(size, "params.yaml")
    recipe, values = read_parameters(path, "drip.train", DripRecipe), read_stage(path, "c10")
    start = StartWeights(os.path.join(size, "models", "drip", "start", "backbone.pth"))
    data = open_stage_data(values, recipe, Places(os.path.join(size, "data", "drip", "pictures")))
    shape = read_parameters(path, "drip.network", NetworkShape)
    run = StageRun(recipe, values, shape, start, start.digest(), data)
    return train_stage(run, os.path.join(folder, "stage"), "cpu")


class _ConstantViews:
    """A ViewBatch whose augmented views are all the first one."""

    def __init__(self, batch):
        self._batch = batch

    def on(self, device):
        batch = self._batch.on(device)
        return batch._replace(augmented=batch.augmented[:1].expand_as(batch.augmented).contiguous())


DRIP = Trainer(
    "drip_train",
    lambda size: tiny_drip.build(size, max_epochs=2),
    _train,
    published_checkpoints.read_container,
    lambda folder: os.path.join(folder, "stage", tiny_drip.LAST),
    _ConstantViews,
)
