"""The training loop: epochs of addressed batches, a record of each step, checkpoints."""

from __future__ import annotations

import time
from typing import Callable, NamedTuple, Optional

from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal
from encore.training import replay_step
from encore.training.checkpoint_files import Position
from encore.training.numerical_fault import NumericalFault
from encore.training.refused_step import RefusedStep

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
    """Position of the next step -> path of the state, or None; called at the end of each epoch, every
    `save_every` steps and, within an epoch, before a step that cannot be made. Writes nothing while
    --replay-step is given, yet does what else an epoch ends with: a later step may depend on it."""
    record: Optional[Callable] = None
    """(epoch, step, StepResult, seconds, seconds of waiting for data) -> None."""
    save_every: int = 0
    """Steps between checkpoints within an epoch; 0: none."""
    ended: Optional[Callable] = None
    """() -> whether the run is over; asked after each epoch, once it is saved. None: after `epochs`."""
    total: Optional[int] = None
    """Steps of the whole run where its `batches` end before its last epoch does; None: all of each epoch."""
    networks: tuple = ()
    """Modules whose buffers (running statistics) a forward pass changes: put back where no update is made."""
    addresses: Optional[Callable] = None
    """(epoch, step) -> list of what the whole batch is made of, for JSON: names of pictures, seeds."""
    folder: Optional[str] = None
    """Where a step that cannot be made is described, in numerical_fault.json."""


def train(run: Run, start: Position = FROM_THE_START, what="training"):
    """Do all steps from `start` to the end of the run -> number of steps done.

    A run of which `ended` is true where it starts at an epoch does none. Raises Refusal for a step that
    cannot be made, which names the step, its pictures and, unless the run has only just started, the saved
    state before it. With --replay-step the run ends, by SystemExit, at that step.
    """
    replayed = replay_step.wanted(start)
    if replayed is None and run.ended is not None and not start.step and run.ended():
        return 0
    if replayed is not None:  # looked at, nothing of it is kept
        run = run._replace(record=None, folder=None)
    refused = RefusedStep(run, what)
    refused.forget_earlier()
    whole = run.epochs * run.iterations if run.total is None else run.total
    if replayed is not None:
        _refuse_beyond(run, whole, replayed)
    total = whole - start.epoch * run.iterations - start.step
    done = 0
    for epoch, step, batch, waited in progress(_steps(run, start), max(total, 0), what):
        began = time.perf_counter()
        refused.keep_statistics()
        if replayed == (epoch, step):
            replay_step.replay(run, replayed, batch)
        try:
            result = run.step(epoch, step, batch)
        except NumericalFault as fault:
            raise refused.refusal(Position(epoch, step), fault) from fault
        if run.record is not None:
            run.record(epoch, step, result, time.perf_counter() - began + waited, waited)
        done += 1
        if _saved(run, refused, epoch, step):
            break
    if replayed is not None:
        raise Refusal("--replay-step %d:%d: the run ends before that step" % replayed)
    return done


def _refuse_beyond(run, whole, position):
    """Refusal, before any step is made, for a `position` that is none of the `whole` steps of the run."""
    epoch, step = position
    if step >= run.iterations or epoch * run.iterations + step >= whole:
        raise Refusal(
            "--replay-step %d:%d: no such step: the run has %d steps, in epochs of %d (epochs: %d); "
            "epochs and steps are counted from 0" % (epoch, step, whole, run.iterations, run.epochs)
        )


def _saved(run, refused, epoch, step):
    """Save after a step where that is due -> whether the run is over."""
    if step + 1 == run.iterations:
        refused.saved = run.save(Position(epoch + 1, 0))
        return run.ended is not None and run.ended()
    if run.save_every and (step + 1) % run.save_every == 0:
        refused.saved = run.save(Position(epoch, step + 1))
    return False


def _steps(run, start):
    for epoch in range(start.epoch, run.epochs):
        first = start.step if epoch == start.epoch else 0
        began = time.perf_counter()
        for step, batch in enumerate(run.batches(epoch, first), first):
            yield epoch, step, batch, time.perf_counter() - began
            began = time.perf_counter()
