"""A trainer of the system fkd with one step that goes wrong, in this process or as a command line:

python -m faults.poisoned_fkd nan@1:2 stages.fkd.squeeze [FLAG ...]
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import sys

import torch

from encore.systems.fkd.classification import Classification
from encore.systems.fkd.training import Training

MARK = "killed"
"""File that says that a process of the run in this folder has been killed: a run is killed once."""


def _nan_picture(module, inputs):
    shown = inputs[0].clone()
    shown[-1, 0, 0, 0] = float("nan")
    return (shown,) + tuple(inputs[1:])


def _infinite_loss(module, inputs, output):
    # The class of each row becomes impossible for one of two of them at least.
    changed = torch.full_like(output, -float("inf")) + 0 * output.detach()
    rows = torch.arange(len(output))
    changed[rows, rows % output.shape[1]] = 0
    return torch.where(torch.isinf(changed), changed, output)


def _exploding(module, inputs, output):
    output.register_hook(lambda gradient: gradient * 1e12)


def _constant(batch):
    return batch._replace(pixels=batch.pixels[:1].expand_as(batch.pixels))


KINDS = {
    "nan": ("NaN loss", lambda student: student.register_forward_pre_hook(_nan_picture)),
    "inf": ("infinite loss", lambda student: student.register_forward_hook(_infinite_loss)),
    "exploding": ("exploding gradients", lambda student: student.register_forward_hook(_exploding)),
    "constant": ("constant batch", None),
}
"""Name -> (what it is called in a Row, network -> hook that does it; None: the pictures do)."""


@contextlib.contextmanager
def poisoned(kind, epoch, step, rank=None):
    """Within it, step (epoch, step) of every run of fkd has the fault `kind` of KINDS, or is "kill": its
    process ends there, the first time. rank: only in that process of the run; None: in all."""
    whole = {cls: cls.step for cls in (Training, Classification)}
    here = rank is None or rank == int(os.environ.get("RANK", "0"))

    def made(cls):
        def poisoned_step(self, found_epoch, number, batch):
            if not here or (found_epoch, number) != (epoch, step):
                return whole[cls](self, found_epoch, number, batch)
            if kind == "kill":
                die_once()
                return whole[cls](self, found_epoch, number, batch)
            if kind == "constant":
                return whole[cls](self, found_epoch, number, _constant(batch))
            hook = KINDS[kind][1](self.student)
            try:
                return whole[cls](self, found_epoch, number, batch)
            finally:
                hook.remove()

        return poisoned_step

    for cls in whole:
        cls.step = made(cls)
    try:
        yield
    finally:
        for cls, own in whole.items():
            cls.step = own


def die_once():
    """End this process by SIGKILL, unless one was ended before in this folder."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(MARK, os.O_CREAT | os.O_EXCL))
        os.kill(os.getpid(), signal.SIGKILL)


def taken_apart(text):
    """KIND@EPOCH:STEP[:RANK] -> the arguments of `poisoned`."""
    kind, place = text.split("@")
    return (kind, *map(int, place.split(":")))


def main():
    text, module, *rest = sys.argv[1:]
    sys.argv = [module, *rest]
    with poisoned(*taken_apart(text)):
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
