"""Training of the drip on several processes, which share a batch's rows and the kernel's columns.

Each process adds up the gradients of its own views, so that several processes differ from one by rounding,
which Adam makes larger: what is compared after a run is the first loss, to rounding, and the mean of the last
epoch, to WITHIN.
"""

from __future__ import annotations

import os

from encore.systems.drip import published_checkpoints
from encore.systems.drip.record import HISTORY, read_history
from faults.processes import tiny_drip
from faults.processes.shared_run import SharedStage, shared_rows

WITHIN = 0.02
"""Bound on the difference of the mean loss of the last epoch, relative to it."""
VERSION = "lightning_logs/version_0"


def rows(full):
    """Yield the Rows; full: four processes, a lost worker without restarts, a fault of one."""
    if full:
        yield from shared_rows(DRIP_STAGE, full)


def left_of_drip(folder):
    """The last checkpoint and the record."""
    output = os.path.join(folder, tiny_drip.OUTPUT)
    last = published_checkpoints.read_container(os.path.join(output, tiny_drip.LAST))
    return {"checkpoint": last, "history": read_history(os.path.join(output, VERSION, HISTORY))}


def nearly(one, other):
    """Whether the losses of the first step agree to rounding, and those of the last epoch to WITHIN."""
    first, second = (left["history"] for left in (one, other))
    losses = [rows[0]["trn_loss_step"] for rows in (first, second)]
    ends = [rows[-1]["trn_loss_epoch"] for rows in (first, second)]
    return (
        len(first) == len(second)
        and abs(losses[0] - losses[1]) <= 1e-5 * abs(losses[1])
        and abs(ends[0] - ends[1]) <= WITHIN * abs(ends[1])
    )


DRIP_STAGE = SharedStage(
    "drip_train",
    tiny_drip.MODULE,
    tiny_drip.ARGUMENTS,
    lambda folder: tiny_drip.build(str(folder)),
    left_of_drip,
    (1, 1),
    nearly,
)
