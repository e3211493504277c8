"""The trainers of fkd on several processes, started by torchrun: equal results, and lost workers."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from pathlib import Path

import torch

from faults import tiny_fkd
from faults.fault import Row

SUITE = "processes"
BIT_FOR_BIT = {
    "fkd_squeeze": (2, 4),
    "fkd_train": (2,),
    "fkd_train_kd": (2,),
}
"""Stage -> numbers of processes that divide its parts (4 replicas, 2 chunks, 2 batches of an update)."""
ROUNDED = {"fkd_train": (4,), "fkd_train_kd": (4,), "fkd_baseline": (2, 4)}
"""Stage -> numbers of processes that share parts."""
BOUND = 1e-3
"""Of ROUNDED: the largest difference of a tensor after six updates, over its largest value. Rounding begins
below 1e-6; Adam divides gradients by their size, which lets the smallest ones grow."""
SHORT = ("fkd_train", 2)
KILLED = "kill@1:1:1"
"""The process 1 is lost in epoch 1, step 1."""


def rows(full):
    """Yield the Rows; full: every stage by 2 and 4 processes, and lost workers of each kind of trainer."""
    with tempfile.TemporaryDirectory() as folder:
        projects = Projects(Path(folder))
        if not full:
            yield equal_row(projects, *SHORT)
            return
        for stage, counts in BIT_FOR_BIT.items():
            for count in counts:
                yield equal_row(projects, stage, count)
        for stage, counts in ROUNDED.items():
            for count in counts:
                yield equal_row(projects, stage, count, BOUND)
        for stage in ("fkd_train", "fkd_squeeze"):
            yield restarted_row(projects, stage)
        yield ended_row(projects, "fkd_train")


class Projects:
    """Projects below `folder`, and what one process makes of each stage."""

    def __init__(self, folder):
        self.folder, self._alone = folder, {}

    def new(self, name):
        place = self.folder / name
        place.mkdir()
        tiny_fkd.write_project(place)
        return place

    def alone(self, stage):
        """The folder of the project in which one process has run the stage."""
        if stage not in self._alone:
            place = self.new(f"{stage}-1")
            statuses, said = tiny_fkd.run_forked(place, stage)
            if statuses != [0]:
                raise RuntimeError(f"{stage}: one process ended with {statuses}: {said[0][-500:]}")
            self._alone[stage] = place
        return self._alone[stage]


def equal_row(projects, stage, count, bound=None):
    """`count` processes end in the bits of one, or within `bound`."""
    began = time.monotonic()
    alone, place = projects.alone(stage), projects.new(f"{stage}-{count}")
    done = tiny_fkd.run(place, stage, processes=count)
    losses, figures = ended_well(done), ()
    if not losses and bound is None and tiny_fkd.outcome(place, stage) != tiny_fkd.outcome(alone, stage):
        losses.append("it does not end in the bits of one process")
    if not losses and bound is not None:
        found = largest_difference(place, alone, stage)
        figures = (("largest difference", found),)
        if not found <= bound:
            losses.append(f"it differs from one process by {found:g}, the bound is {bound:g}")
    kind = f"{count} processes, " + ("the same bits" if bound is None else f"within {bound:g}")
    return made_row(stage, kind, losses, began, figures)


def restarted_row(projects, stage):
    """A worker is lost; torchrun starts all again, and they end in the bits of one process."""
    began = time.monotonic()
    alone, place = projects.alone(stage), projects.new(f"{stage}-restarted")
    done = tiny_fkd.run(place, stage, processes=2, restarts=1, poison=KILLED)
    losses = ended_well(done) + lost_one(place)
    if not losses and tiny_fkd.outcome(place, stage) != tiny_fkd.outcome(alone, stage):
        losses.append("it does not end in the bits of an undisturbed run")
    return made_row(stage, "worker killed, torchrun restarts", losses, began)


def ended_row(projects, stage):
    """A worker is lost and not started again: all end; the same command then ends in the bits of one
    process."""
    began = time.monotonic()
    alone, place = projects.alone(stage), projects.new(f"{stage}-ended")
    done = tiny_fkd.run(place, stage, processes=2, poison=KILLED)
    losses = lost_one(place)
    if done.returncode == 0:
        losses.append("status 0 though a worker was lost")
    left = processes_in(place)
    if left:
        losses.append(f"processes are left: {left}")
    again = tiny_fkd.run(place, stage, processes=2)
    losses += ended_well(again)
    if not losses and tiny_fkd.outcome(place, stage) != tiny_fkd.outcome(alone, stage):
        losses.append("the same command does not end in the bits of an undisturbed run")
    return made_row(stage, "worker killed, no restart", losses, began)


def ended_well(done):
    """What is missing of a run that ends well."""
    return [] if done.returncode == 0 else [f"status {done.returncode}: {done.stderr[-500:]}"]


def lost_one(place):
    """A loss where no worker was killed after all."""
    return [] if (place / "killed").exists() else ["no worker was killed"]


def processes_in(place):
    """Numbers of the processes that work in a folder."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if os.readlink(f"/proc/{name}/cwd") == str(place.resolve()):
                found.append(int(name))
    return found


def largest_difference(place, other, stage):
    """Over all tensors of the published network: the largest difference, over the largest value; infinite
    where names or shapes differ, or the recorded loss differs by more."""
    one, two = (_state(folder / tiny_fkd.OUTPUTS[stage]) for folder in (place, other))
    if list(one) != list(two) or any(one[name].shape != two[name].shape for name in one):
        return float("inf")
    differences = [
        ((one[name].double() - two[name].double()).abs().max() / two[name].abs().max().clamp(min=1e-6)).item()
        for name in one
    ]
    losses = [_train_loss(folder) for folder in (place, other)]
    return max(differences + [abs(losses[0] - losses[1]) / abs(losses[1])])


def _state(output):
    path = output / "checkpoint.pth.tar" if output.is_dir() else output
    content = torch.load(path, map_location="cpu", weights_only=True)
    return content.get("state_dict", content.get("model", content))


def _train_loss(place):
    (path,) = (place / "metrics").rglob("*.json")
    return json.loads(path.read_text(encoding="utf-8"))["train_loss"]


def made_row(place, kind, losses, began, figures=()):
    """The Row of one injected fault."""
    told = ("; ".join(losses),) if losses else ()
    return Row(SUITE, place, kind, 1, 0 if losses else 1, time.monotonic() - began, told, figures=figures)
