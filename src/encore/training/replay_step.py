"""Looking at one step of a run again: the layers that left the finite numbers, the largest gradients."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import datetime
import os
import re
import sys

import torch

from encore.runtime.refusal import Refusal
from encore.training import numerical_fault
from encore.training.checkpoint_files import Position
from encore.training.numerical_fault import NumericalFault, StepSeen, watched_by

VARIABLE = "ENCORE_REPLAY_STEP"
"""Names the step, also to the further processes of a run."""
SECONDS_TO_END = 60.0
"""For the first process to close what it has open and say why the run ends."""
SAID = "encore/said"
"""The key by which it tells the others that it has."""


def add_replay_step(parser):
    """Give the command line of a training stage the flag --replay-step."""
    parser.add_argument(
        "--replay-step",
        action=_Replay,
        metavar="EPOCH:STEP",
        help="go on to this step (counted from 0), show the numbers in it, and stop before its update: for a "
        "run that ended with a numerical fault",
    )


class _Replay(argparse.Action):
    """Sets the variable for this process and those it starts."""

    def __call__(self, parser, namespace, values, option_string=None):
        if not re.fullmatch(r"\d+:\d+", values):
            parser.error("--replay-step: expected EPOCH:STEP, two numbers from 0, found %r" % values)
        os.environ[VARIABLE] = values


def wanted(start):
    """The Position of the step to replay, or None; Refusal where the run, which is at `start`, is past it."""
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    position = Position(*map(int, text.split(":")))
    if position < start:
        raise Refusal(
            "--replay-step %s: the newest state is of epoch %d, step %d, past that step: resume from an "
            "earlier checkpoint, or start in an empty folder" % ((text,) + tuple(start))
        )
    return position


def replay(run, position, batch):
    """Show what happens in the step at `position` of a `loop.Run`, without its update, and end the process:
    with status 2 where the step has a fault."""
    watcher, fault = Watcher(run.networks), None
    try:
        with watched_by(watcher):
            run.step(position.epoch, position.step, batch)
    except StepSeen:
        pass
    except NumericalFault as found:
        fault = found
    finally:
        watcher.close()
    if is_first():
        pictures = run.addresses(*position) if run.addresses is not None else []
        print("epoch %d, step %d: %s" % (tuple(position) + (fault or "finite",)))
        print("\n".join(watcher.report()))
        print("\n".join(["batch of %d:" % len(pictures)] + ["  %s" % (row,) for row in pictures]), flush=True)
    status = 2 if fault else 0
    wait_for_the_first(status)
    sys.exit(status)


def is_first():
    """Whether this is the process of the run that writes and prints."""
    return os.environ.get("RANK", "0") == "0"


def wait_for_the_first(status=2):
    """Let the first of several processes write and print before any ends; the others end here, with `status`
    and without a word: the first says it for all.

    A launcher such as torchrun ends all once one has ended. So the others wait until the first one is about
    to end, or has, SECONDS_TO_END at most.
    """
    import torch.distributed as distributed

    if not distributed.is_available() or not distributed.is_initialized():
        return
    distributed.barrier()
    store = distributed.distributed_c10d._get_default_store()
    if is_first():
        atexit.register(_tell_the_others, store)
        return
    with contextlib.suppress(RuntimeError):  # the time is over, or the store has ended with the first
        store.wait([SAID], datetime.timedelta(seconds=SECONDS_TO_END))
    sys.exit(status)


def _tell_the_others(store):
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with contextlib.suppress(RuntimeError):  # the store has ended with the launcher
        store.set(SAID, "1")


class Watcher:
    """What the layers of `networks` put out in one step, as (name, largest magnitude, whether it is finite)
    in the order of their first call, and the gradients."""

    def __init__(self, networks):
        self.layers, self.loss, self.terms, self.gradients = [], None, {}, []
        self._hooks = []
        for network in networks:
            for name, module in network.named_modules():
                if not list(module.children()):
                    self._hooks.append(module.register_forward_hook(self._hook(name)))

    def take(self, loss, terms, named):
        """Keep a step's loss and terms, and the largest gradients."""
        self.loss, self.terms = loss, dict(terms)
        self.gradients = numerical_fault.largest(named)

    def close(self):
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()

    def report(self):
        """Lines for people: the loss, the first layers whose output is not finite, else the largest ones."""
        lines = []
        if self.loss is not None:
            texts = ["%s %g" % item for item in sorted(self.terms.items())]
            lines.append("loss %g (%s)" % (self.loss, ", ".join(texts)))
        broken = [row for row in self.layers if not row[2]]
        rows = broken or sorted(self.layers, key=lambda row: -row[1])
        lines.append("first outputs that are not finite:" if broken else "largest outputs:")
        lines += ["  %-40s %g" % row[:2] for row in rows[: numerical_fault.SHOWN]] or ["  none"]
        if self.gradients:
            lines.append("largest gradients:")
            lines += ["  %-40s %g" % row for row in self.gradients]
        return lines

    def _hook(self, name):
        def hook(module, inputs, output):
            if isinstance(output, torch.Tensor) and output.is_floating_point() and output.numel():
                largest = output.detach().abs().max().item()
                self.layers.append((name, largest, bool(torch.isfinite(output).all())))

        return hook
