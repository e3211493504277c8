"""A trainer that comes to a step which cannot be made, and what must be found of it then."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple
from unittest import mock

import torch

from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load
from encore.training import loop
from encore.training.refused_step import FAULT_FILE
from encore.training.replay_step import VARIABLE
from faults.fault import Row

SCALE = 1e15
"""What the loss is multiplied by where gradients shall explode; in float32 it stays finite."""


class Trainer(NamedTuple):
    """A trainer at a tiny size."""

    place: str
    """Its stage, as DVC names it."""
    train: Callable
    """(folder) -> None: one whole run in a folder, going on from what is there."""
    left: Callable
    """(folder) -> {name: tensors, bytes, numbers}: what a finished run leaves."""
    at: tuple
    """(epoch, step) of the fault, within an epoch."""
    batch: int
    """Pictures of a whole batch."""
    names: frozenset
    """Of all pictures."""
    loss: tuple
    """(owner, name) of the function that computes a step's loss."""
    scaled: Callable
    """(what that function gives, factor) -> the same with its loss multiplied."""


def refused_rows(trainer, kinds):
    """Yield a Row for each of `kinds`, keys of KINDS."""
    with tempfile.TemporaryDirectory() as place:
        whole, states = Path(place) / "undisturbed", {}
        with _changed_run(lambda run: _keeping(run, states)):
            trainer.train(whole)
        expected = trainer.left(whole)
        for kind in kinds:
            began = time.perf_counter()
            folder = Path(place) / kind.replace(" ", "_")
            losses = [*_problems(trainer, kind, folder, states.get(trainer.at), expected)]
            told = ("; ".join(losses),) if losses else ()
            yield Row("numerical", trainer.place, kind, 1, 1 - len(told), time.perf_counter() - began, told)


def _problems(trainer, kind, folder, state, expected):
    """Yield what is not as promised of a run with the fault in `folder`, a line each."""
    with injected(trainer, kind):
        text = _refusal(trainer, folder)
    if text is None:
        yield "the step was made"
        return
    yield from _problems_of_message(trainer, folder, text)
    described = json.loads((folder / FAULT_FILE).read_text(encoding="utf-8"))
    if described["state"] is None or not same_bits(safe_load(described["state"]), state):
        yield "the state that was saved is not that of an undisturbed run before the step"
    yield from _problems_of_replay(trainer, kind, folder)
    said = _refusal(trainer, folder)
    if said is not None:
        yield "the run with its cause mended was refused: %s" % said
        return
    if not same_bits(trainer.left(folder), expected):
        yield "the run with its cause mended does not end in the bits of an undisturbed one"
    if (folder / FAULT_FILE).exists():
        yield FAULT_FILE + " is left though the run has ended well"


def _refusal(trainer, folder):
    try:
        with _silent():
            trainer.train(folder)
    except Refusal as refusal:
        return str(refusal)
    return None


def _problems_of_message(trainer, folder, text):
    described = json.loads((folder / FAULT_FILE).read_text(encoding="utf-8"))
    batch = described["batch"]
    if "\n" in text or "epoch %d, step %d: " % trainer.at not in text:
        yield "the message does not name the step in one line: %r" % text
    if (described["epoch"], described["step"]) != trainer.at:
        yield "%s names another step" % FAULT_FILE
    if len(batch) != trainer.batch or not set(batch) <= trainer.names or str(batch[0]) not in text:
        yield "the pictures of the batch are not named: %s" % batch


def _problems_of_replay(trainer, kind, folder):
    yield from _problems_of_replay_in(trainer, kind, folder, "--replay-step")
    from_the_start = folder.with_name(folder.name + "_from_the_start")
    yield from _problems_of_replay_in(trainer, kind, from_the_start, "--replay-step from the start")


def _problems_of_replay_in(trainer, kind, folder, how):
    before = contents(folder)
    with mock.patch.dict(os.environ, {VARIABLE: "%d:%d" % trainer.at}), injected(trainer, kind):
        status, text = None, io.StringIO()
        try:
            with contextlib.redirect_stdout(text), _silent(out=False):
                trainer.train(folder)
        except SystemExit as ended:
            status = ended.code
    if status != 2:
        yield "%s ends with status %s, not 2" % (how, status)
    if not text.getvalue().startswith("epoch %d, step %d: " % trainer.at):
        yield "%s does not show the step" % how
    if contents(folder) != before:
        yield "%s has changed a file" % how


def contents(folder):
    """{path: bytes} of all files below a folder."""
    return {str(path): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


@contextlib.contextmanager
def _silent(out=True):
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        if out:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        yield


@contextlib.contextmanager
def _changed_run(change):
    """Within it every run that `loop.train` is given is `change(run)` instead."""
    whole = loop.train

    def train(run, *arguments, **options):
        return whole(change(run), *arguments, **options)

    with mock.patch.object(loop, "train", train):
        yield


def _keeping(run, states):
    """The run with a state after every step, read into states: (epoch, step) -> content."""

    def save(position):
        path = run.save(position)
        states[tuple(position)] = safe_load(path)
        return path

    return run._replace(save=save, save_every=1)


@contextlib.contextmanager
def injected(trainer, kind):
    """Within it the step `trainer.at` of its runs has a fault of that kind."""
    with _changed_run(lambda run: KINDS[kind](run, trainer)):
        yield


def with_batch(run, at, change):
    """The run with change(batch) for the batch of the step `at`."""

    def batches(epoch, first):
        for step, batch in enumerate(run.batches(epoch, first), first):
            yield change(batch) if (epoch, step) == at else batch

    return run._replace(batches=batches)


def poisoned(batch, value):
    """A batch, whose first part holds pictures, with one number of a picture replaced."""
    pictures = batch[0].to(torch.float32).clone()
    pictures[-1, 0, 0, 0] = value
    return [pictures] + list(batch[1:])


def _constant(batch):
    pictures = [part[:1].expand_as(part).clone() if part.dim() == 4 else part for part in batch]
    return pictures


def _exploding(run, trainer):
    owner, name = trainer.loss
    whole = getattr(owner, name)

    def loss(*arguments, **options):
        return trainer.scaled(whole(*arguments, **options), SCALE)

    def step(epoch, number, batch):
        if (epoch, number) != trainer.at:
            return run.step(epoch, number, batch)
        with mock.patch.object(owner, name, loss):
            return run.step(epoch, number, batch)

    return run._replace(step=step)


def _spoiling(change):
    return lambda run, trainer: with_batch(run, trainer.at, change)


KINDS: dict[str, Any] = {
    "NaN loss": _spoiling(lambda batch: poisoned(batch, math.nan)),
    "infinity in a picture": _spoiling(lambda batch: poisoned(batch, math.inf)),
    "exploding gradients": _exploding,
    "constant batch": _spoiling(_constant),
}
"""(run, trainer) -> the run with that fault in its step `trainer.at`."""


def same_bits(one, other):
    """Whether two contents of checkpoints are the same: keys and their order, types, every bit of tensors."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and list(one) == list(other)
            and all(same_bits(one[k], other[k]) for k in one)
        )
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same_bits, one, other))
    return type(one) is type(other) and one == other
