"""The training loop: epochs of addressed batches, a record of each step, checkpoints."""

from __future__ import annotations

import math
import time
from typing import Callable, NamedTuple, Optional

from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal
from encore.training.checkpoint_files import Position

FROM_THE_START = Position(0, 0)


class StepResult(NamedTuple):
    """What one step reports: numbers, not tensors."""

    loss: float
    terms: dict
    learning_rate: float


class Run(NamedTuple):
    """The parts of a training run that the loop calls; `save` and `record` are called on every process."""

    epochs: int
    iterations: int
    """Steps per epoch."""
    batches: Callable
    """(epoch, first step) -> iterable over the batches from there to the end of the epoch."""
    step: Callable
    """(epoch, step, batch) -> StepResult."""
    save: Callable
    """Position of the next step -> None; called at the end of each epoch and every `save_every` steps."""
    record: Optional[Callable] = None
    """(epoch, step, StepResult, seconds, seconds of waiting for data) -> None."""
    save_every: int = 0
    """Steps between checkpoints within an epoch; 0: none."""
    ended: Optional[Callable] = None
    """() -> whether the run is over; asked after each epoch, once it is saved. None: after `epochs`."""
    total: Optional[int] = None
    """Steps of the whole run where its `batches` end before its last epoch does; None: all of each epoch."""


def refuse_unless_finite(loss, terms, epoch, step):
    """Raise Refusal, naming the step and the terms, where the loss is not a finite number; call before the
    update."""
    if not math.isfinite(loss):
        broken = ", ".join("%s %g" % item for item in sorted(terms.items()))
        raise Refusal(
            "the loss of epoch %d, step %d is %g, expected a finite number (%s): no update was "
            "made; lower the "
            "learning rate or look at the batch's images" % (epoch, step, loss, broken)
        )


def train(run: Run, start: Position = FROM_THE_START, what="training"):
    """Do all steps from `start` to the end of the run -> number of steps done.

    A run of which `ended` is true where it starts at an epoch does none.
    """
    if run.ended is not None and not start.step and run.ended():
        return 0
    addresses = _steps(run, start)
    whole = run.epochs * run.iterations if run.total is None else run.total
    total = whole - start.epoch * run.iterations - start.step
    done = 0
    for epoch, step, batch, waited in progress(addresses, max(total, 0), what):
        began = time.perf_counter()
        result = run.step(epoch, step, batch)
        if run.record is not None:
            run.record(epoch, step, result, time.perf_counter() - began + waited, waited)
        done += 1
        if step + 1 == run.iterations:
            run.save(Position(epoch + 1, 0))
            if run.ended is not None and run.ended():
                break
        elif run.save_every and (step + 1) % run.save_every == 0:
            run.save(Position(epoch, step + 1))
    return done


def _steps(run, start):
    for epoch in range(start.epoch, run.epochs):
        first = start.step if epoch == start.epoch else 0
        began = time.perf_counter()
        for step, batch in enumerate(run.batches(epoch, first), first):
            yield epoch, step, batch, time.perf_counter() - began
            began = time.perf_counter()
