"""A step that is not made: the state before it is saved, and described so that it can be looked at again."""

from __future__ import annotations

import contextlib
import os

import torch

from encore.runtime.atomic import write_json
from encore.runtime.refusal import Refusal
from encore.training.numerical_fault import SHOWN
from encore.training.replay_step import is_first, wait_for_the_first

FAULT_FILE = "numerical_fault.json"


class RefusedStep:
    """What is done where a `loop.Run` comes to a step with a numerical fault."""

    def __init__(self, run, what):
        self.run, self.what = run, what
        self.saved = None
        """Path that the last save of the run gave; None before it."""
        self._places = [
            (module, name)
            for network in run.networks
            for module in network.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        self._kept = None

    def forget_earlier(self):
        """Remove the description of a step that an earlier run could not make."""
        if self.run.folder is not None and is_first():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.run.folder, FAULT_FILE))

    def keep_statistics(self):
        """Keep the buffers of the networks as they are before a step."""
        buffers = [module._buffers[name].detach() for module, name in self._places]
        if self._kept is None:
            self._kept = [buffer.clone() for buffer in buffers]
        for kept, buffer in zip(self._kept, buffers):
            kept.copy_(buffer)

    def refusal(self, position, fault):
        """Put the buffers back, save the state, describe the step at `position` -> the Refusal to raise."""
        with torch.no_grad():
            for kept, (module, name) in zip(self._kept, self._places):
                module._buffers[name].copy_(kept)
        run = self.run
        state = run.save(position) if position.step else self.saved  # by the end of the epoch before
        text = "%s: epoch %d, step %d: %s; no update was made" % ((self.what,) + tuple(position) + (fault,))
        if state is not None:
            text += "; the state before it is saved in %s" % state
        batch = list(run.addresses(*position)) if run.addresses is not None else []
        if batch:
            shown = ", ".join(map(str, batch[:SHOWN])) + (", ..." if len(batch) > SHOWN else "")
            text += "; its batch of %d: %s" % (len(batch), shown)
        if run.folder is not None and is_first():
            path = os.path.join(run.folder, FAULT_FILE)
            described = {"fault": str(fault), "epoch": position.epoch, "step": position.step}
            write_json(path, dict(described, batch=batch, state=state))
            text += " (all in %s)" % path
        wait_for_the_first()
        return Refusal(
            text + ": look at it with --replay-step %d:%d, then mend the pictures or lower the learning "
            "rate" % position
        )
