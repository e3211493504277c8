"""What must be found of a training stage on several processes: the same bits, nothing lost with a worker."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Callable, NamedTuple

from faults.fault import Row
from faults.numerical.refused_run import same_bits
from faults.processes.launched_run import run_stage_on

RESTARTED = "2 processes, a worker killed, restarted by torchrun"


class SharedStage(NamedTuple):
    """A training stage at a tiny size."""

    place: str
    """Its name, as DVC has it."""
    module: str
    arguments: tuple
    prepare: Callable
    """(folder) -> None: write its parameters and its data there."""
    left: Callable
    """folder -> {name: tensors, bytes, numbers}: what a finished run leaves; OSError where it left none."""
    at: tuple
    """(epoch, step) of a fault."""
    agree: Callable = same_bits
    """Whether what other numbers of processes leave is as near as the recipe states; default: every bit."""


def shared_rows(stage, full):
    """Yield the Rows of a stage; full: of all KINDS, else of a worker that is started again."""
    with tempfile.TemporaryDirectory() as place:
        runs = _Runs(stage, Path(place))
        for kind in KINDS if full else (RESTARTED,):
            began = time.perf_counter()
            losses = "; ".join(KINDS[kind](runs))
            told = (losses,) if losses else ()
            yield Row("processes", stage.place, kind, 1, 1 - len(told), time.perf_counter() - began, told)


class _Runs:
    """Runs of a stage in folders of their own, and what undisturbed ones leave."""

    def __init__(self, stage, place):
        self.stage, self.place, self._left = stage, place, {}

    def folder(self, name):
        """A new folder, prepared."""
        folder = self.place / name
        folder.mkdir()
        self.stage.prepare(folder)
        return folder

    def on(self, count, folder, **options):
        """Run the stage there -> Ended."""
        return run_stage_on(count, folder, self.stage.module, self.stage.arguments, **options)

    def undisturbed(self, count):
        """What an undisturbed run on so many processes leaves; raises OSError where it fails."""
        if count not in self._left:
            folder = self.folder(f"undisturbed {count}")
            ended = self.on(count, folder)
            if ended.status:
                raise OSError(f"{count} processes: status {ended.status}: {ended.said[-300:]}")
            self._left[count] = self.stage.left(folder)
        return self._left[count]

    def same_as(self, folder, count):
        """Yield a problem where a folder does not hold what the stage leaves on so many processes."""
        if not same_bits(self.stage.left(folder), self.undisturbed(count)):
            yield f"it does not end in the bits of an undisturbed run on {count} processes"


def _same(runs, count):
    """Several processes leave what one does, to the recipe's bound."""
    if not runs.stage.agree(runs.undisturbed(count), runs.undisturbed(1)):
        yield f"{count} processes do not end where one does"


def _restarted(runs):
    folder = runs.folder("restarted")
    ended = runs.on(2, folder, restarts=1, injected=("kill", 1, runs.stage.at))
    if ended.status or ended.left:
        yield f"status {ended.status}, {len(ended.left)} processes left: {ended.said[-300:]}"
        return
    own = runs.stage.left(folder)
    if runs.stage.agree is same_bits:  # then those of one process are those of two
        yield from runs.same_as(folder, 1)
        return
    if not runs.stage.agree(own, runs.undisturbed(1)):
        yield "it does not end where one process does"
    yield from runs.same_as(folder, 2)


def _ended(runs):
    folder = runs.folder("ended")
    ended = runs.on(2, folder, injected=("kill", 1, runs.stage.at))
    if not ended.status or ended.left:
        yield f"status {ended.status}, {len(ended.left)} processes left"
    if not any("another process of this run has ended" in line for line in ended.refusals()):
        yield f"what is left does not say in one line that a process was lost: {ended.refusals()}"
    yield from _again(runs, folder, "the same command again")


def _refused(runs):
    folder = runs.folder("refused")
    ended = runs.on(2, folder, injected=("nan", 1, runs.stage.at))
    named = [
        line for line in ended.refusals() if "epoch %d, step %d: the loss is nan" % runs.stage.at in line
    ]
    if not ended.status or ended.left or len(named) != 1 or len(ended.refusals()) != 1:
        yield f"status {ended.status}, {len(ended.left)} processes left, refusals {ended.refusals()}"
    yield from _again(runs, folder, "with the cause mended")


def _again(runs, folder, how):
    again = runs.on(2, folder)
    if again.status:
        yield f"{how}: status {again.status}: {again.said[-300:]}"
        return
    yield from runs.same_as(folder, 2)


KINDS = {
    RESTARTED: _restarted,
    "2 processes": lambda runs: _same(runs, 2),
    "4 processes": lambda runs: _same(runs, 4),
    "a worker killed, no restart": _ended,
    "NaN in one of 2 processes": _refused,
}
"""Kind of fault -> (runs of a stage) -> what is not as promised, a line each."""
