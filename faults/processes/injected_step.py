"""`python -m faults.processes.injected_step KIND RANK EPOCH:STEP MODULE ARGUMENTS`: a stage with a fault.

KIND: kill (SIGKILL before the step) or nan (a NaN in its pictures). The process RANK alone has it, and only
until torchrun has started the run again.
"""

from __future__ import annotations

import math
import os
import runpy
import signal
import sys

from encore.training import loop
from faults.numerical.poisoned_views import PoisonedViews
from faults.numerical.refused_run import poisoned, with_batch


def _killed(batch):
    os.kill(os.getpid(), signal.SIGKILL)


def _with_nan(batch):
    if hasattr(batch, "augmented"):  # of the drip: its views are normalised on the device
        return PoisonedViews(batch)
    return poisoned(batch, math.nan)


KINDS = {"kill": _killed, "nan": _with_nan}


def main():
    kind, rank, place, module = sys.argv[1:5]
    if (os.environ.get("RANK", "0"), os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) == (rank, "0"):
        at, whole = tuple(map(int, place.split(":"))), loop.train
        loop.train = lambda run, *rest: whole(with_batch(run, at, KINDS[kind]), *rest)
    sys.argv = [module, *sys.argv[5:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
