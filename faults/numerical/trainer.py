"""One trainer under numerical faults: what is injected into a step, and what is found afterwards."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from unittest import mock

import torch

from encore.runtime.refusal import Refusal
from encore.training import loop
from encore.training.checkpoint_files import Position
from encore.training.refused_step import FAULT_FILE
from faults.checkpoint_content import differences
from faults.judged import judged

LOSS = "the loss is"
EXPLODED = "the gradients have exploded"
CONSTANT = "pictures of the batch are the same"
EXPLOSION = 1e20


@dataclass(frozen=True)
class Trainer:
    """How a trainer is run in this process, at a tiny size."""

    place: str
    """The stage that it belongs to."""
    build: Callable
    """(size) -> None: make a tiny size in that new folder."""
    train: Callable
    """(size, folder) -> None: train in `folder` to the end, going on from the newest state; it calls
    `loop.train`."""
    load: Callable
    """Path of a checkpoint -> its content."""
    final: Callable
    """(folder) -> path of the checkpoint at the run's end."""
    constant: Callable
    """A batch -> the same with its first picture in every place."""


FAULTS = {
    "NaN loss": (LOSS, lambda trainer, run: _with_input(run, lambda values: _poisoned(values, float("nan")))),
    "infinite loss": (
        f"{LOSS}|{EXPLODED}",
        lambda trainer, run: _with_input(run, lambda values: _poisoned(values, float("inf"))),
    ),
    "exploding gradients": (EXPLODED, lambda trainer, run: _with_exploded_gradient(run)),
    "constant batch": (CONSTANT, None),
}
"""Kind -> (what the message says, one of several between bars; what is done to the networks for the step)."""


SHORT = ("NaN loss", "constant batch")
"""What `make test` takes too, together with the others in the trainers' own tests."""


class Undisturbed:
    """A whole run of a trainer on `size` in `folder`: its checkpoints before every step, and the last one."""

    def __init__(self, trainer, size, folder):
        self.states, self.size = {}, size
        kept = os.path.join(folder, "kept")
        os.makedirs(kept)

        def keep(position, path):
            if path is not None:
                self.states[position] = shutil.copy(path, os.path.join(kept, "%d_%d" % position))

        with _loop_with(lambda run: _saving(run, keep)):
            trainer.train(size, os.path.join(folder, "run"))
        self.final = trainer.load(trainer.final(os.path.join(folder, "run")))


def numerical_rows(trainer, folder, at=(1, 1), kinds=tuple(FAULTS)):
    """Yield the Row of each of `kinds` for a Trainer; at: the step that is hit. Works in `folder`."""
    size = os.path.join(folder, "size")
    trainer.build(size)
    undisturbed = Undisturbed(trainer, size, os.path.join(folder, "undisturbed"))
    for kind in kinds:
        place = os.path.join(folder, kind.replace(" ", "_"))
        inject = functools.partial(losses, trainer, undisturbed, kind, place, Position(*at))
        yield judged("numerical", trainer.place, kind, inject)


def losses(trainer, undisturbed, kind, folder, at):
    """Inject one fault into the step `at` of a run in `folder`, mend it, go on -> texts of what was lost."""
    said, found = _refused(trainer, undisturbed.size, kind, folder, at), []
    if said is None:
        return ["the run went on"]
    if "\n" in said or not any(text in said for text in FAULTS[kind][0].split("|")):
        found.append(f"it said: {said}")
    if f"epoch {at.epoch}, step {at.step}: " not in said or f"--replay-step {at.epoch}:{at.step}" not in said:
        found.append(f"the message does not name the step: {said}")
    with open(os.path.join(_described_in(folder), FAULT_FILE), encoding="utf-8") as file:
        described = json.load(file)
    if not described["batch"] or described["batch"][0] not in said:
        found.append(f"the message does not name the pictures: {said}")
    expected = trainer.load(undisturbed.states[at])
    found += differences(trainer.load(described["state"]), expected, "the state before the step")[:3]
    try:
        trainer.train(undisturbed.size, folder)
    except Refusal as refusal:
        return [*found, f"the mended run was refused: {refusal}"]
    found += differences(trainer.load(trainer.final(folder)), undisturbed.final, "the mended run's end")[:3]
    return found


def _refused(trainer, size, kind, folder, at):
    """What the Refusal said; None where the run went on."""
    with _loop_with(lambda run: _faulty(run, trainer, kind, at)):
        try:
            trainer.train(size, folder)
        except Refusal as refusal:
            return str(refusal)
    return None


def _described_in(folder):
    for place, _, names in os.walk(folder):
        if FAULT_FILE in names:
            return place
    raise FileNotFoundError(f"no {FAULT_FILE} below {folder}")


@contextlib.contextmanager
def _loop_with(change):
    """Within it every loop gets the Run that `change` makes of its own."""
    train = loop.train
    with mock.patch.object(loop, "train", lambda run, *rest: train(change(run), *rest)):
        yield


def _saving(run, keep):
    def save(position):
        path = run.save(position)
        keep(position, path)
        return path

    return run._replace(save=save, save_every=1)


def _faulty(run, trainer, kind, at):
    """The Run whose step `at` has the fault."""
    disturb = FAULTS[kind][1]

    def batches(epoch, first):
        for number, batch in enumerate(run.batches(epoch, first), first):
            yield trainer.constant(batch) if disturb is None and (epoch, number) == at else batch

    def step(epoch, number, batch):
        if disturb is None or (epoch, number) != at:
            return run.step(epoch, number, batch)
        with disturb(trainer, run):
            return run.step(epoch, number, batch)

    return run._replace(batches=batches, step=step)


def _first_layer(run):
    return next(
        module
        for network in run.networks
        for module in network.modules()
        if isinstance(module, torch.nn.Conv2d)
    )


@contextlib.contextmanager
def _with_input(run, change):
    """The first convolution is shown what `change` makes of its input."""
    handle = _first_layer(run).register_forward_pre_hook(lambda module, inputs: (change(inputs[0]),))
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def _with_exploded_gradient(run):
    """The gradient at the output of the first convolution is EXPLOSION times as large."""

    def hook(module, inputs, output):
        if output.requires_grad:
            output.register_hook(lambda gradient: gradient * EXPLOSION)

    handle = _first_layer(run).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _poisoned(values, number):
    values = values.clone()
    values[(0,) * values.dim()] = number
    return values
