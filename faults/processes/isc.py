"""Training of ISC 2021 and of the overlay detector on several processes, also by torch 1.7.1's launcher.

ISC's four replicas are part of its recipe: 1, 2 and 4 processes end in the same bits. The detector has one
batch of all pictures, and Adam: what is compared after its run is the mean of its losses, to WITHIN.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from encore.runtime.safe_load import safe_load
from encore.training import checkpoint
from faults.checkpoint_content import differences
from faults.fault import Row
from faults.judged import judged
from faults.processes import tiny_isc, tiny_overlays
from faults.processes.launched import ROOT, Launched, legacy_launcher, torchrun
from faults.processes.shared_run import SharedStage, shared_rows

WITHIN = 0.02
"""Bound on the difference of the mean loss of the last epoch, relative to it."""
LEGACY = ROOT / ".envs" / "cuda101" / "bin" / "python"
"""Python 3.7 with torch 1.7.1, made by `make legacy-test`."""
KIND = "2 processes of torch.distributed.launch (torch 1.7.1), one killed, started again"


def rows(full):
    """Yield the Rows; full: the detector, four processes, what is not restarted, and the legacy launcher."""
    yield from shared_rows(ISC_STAGE, full)
    if full:
        yield from shared_rows(OVERLAYS_STAGE, full)
        yield launcher_row()
        yield legacy_row(os.environ.get("ENCORE_LEGACY_PYTHON", str(LEGACY)))


def left_of_isc(folder):
    """The last checkpoint and the record."""
    logs = os.path.join(folder, tiny_isc.OUTPUT)
    with open(os.path.join(logs, "history.jsonl"), "rb") as file:
        return {"checkpoint": checkpoint.load(os.path.join(logs, tiny_isc.LAST)), "history": file.read()}


def left_of_overlays(folder):
    """The detector and the record."""
    output = os.path.join(folder, tiny_overlays.OUTPUT)
    with open(os.path.join(output, "history.jsonl"), encoding="utf-8") as file:
        history = [json.loads(line) for line in file]
    return {"detector": safe_load(os.path.join(output, "detector.pth")), "history": history}


def nearly(one, other):
    """Whether the losses of the first step agree to rounding, and the means of the last epoch to WITHIN."""
    first, second = ([row["loss"] for row in left["history"]] for left in (one, other))
    half = len(first) // 2
    means = [sum(losses[half:]) / half for losses in (first, second)]
    same_start = abs(first[0] - second[0]) <= 1e-5 * abs(second[0])
    return len(first) == len(second) and same_start and abs(means[0] - means[1]) <= WITHIN * abs(means[1])


def launcher_row():
    """The Row of a torchrun that is killed: its processes end with it, and the same command goes on."""
    with tempfile.TemporaryDirectory() as place:
        return judged("processes", ISC_STAGE.place, "torchrun killed", lambda: launcher_losses(Path(place)))


def launcher_losses(place):
    """Kill torchrun within the first epoch, start it again -> texts of what was lost."""
    folders = [place / name for name in ("alone", "two")]
    for folder in folders:
        folder.mkdir()
        tiny_isc.build(str(folder))
    status, said = Launched(str(folders[0]), tiny_isc.MODULE).finish()
    if status:
        return [f"one process: status {status}: {said[-300:]}"]
    run = Launched(str(folders[1]), tiny_isc.MODULE, launcher=torchrun(2))
    if not run.wait_for(tiny_isc.WORK + "/work_*"):
        return [f"no state was written: {run.finish(1)}"]
    run.process.kill()
    found = [f"a process is left: {command}" for command in run.left()]
    status, said = Launched(str(folders[1]), tiny_isc.MODULE, launcher=torchrun(2)).finish()
    if status:
        return [*found, f"started again: status {status}: {said[-300:]}"]
    return found + differences(left_of_isc(folders[1]), left_of_isc(folders[0]))[:3]


def legacy_row(python):
    """The Row of a run of ISC on two processes of torch.distributed.launch; python: with torch 1.7.1."""
    if not os.path.exists(python):
        why = "no Python with torch 1.7.1: run make legacy-test"
        return Row("processes", ISC_STAGE.place, KIND, 0, 0, 0.0, skipped=why)
    with tempfile.TemporaryDirectory() as place:
        return judged("processes", ISC_STAGE.place, KIND, lambda: _legacy_losses(Path(place), python))


def _legacy_losses(place, python):
    folders = [place / name for name in ("alone", "two")]
    for folder in folders:
        folder.mkdir()
        tiny_isc.build(str(folder))
    status, said = Launched(str(folders[0]), tiny_isc.MODULE, python=python).finish()
    if status:
        return [f"one process: status {status}: {said[-300:]}"]
    run = Launched(str(folders[1]), tiny_isc.MODULE, launcher=legacy_launcher(2), python=python)
    run.wait_for(tiny_isc.WORK + "/work_*")
    found = run.kill(1)
    status, said = run.finish()
    if not status or "another process of this run has ended" not in said:
        found.append(f"with one process killed: status {status}: {said[-300:]}")
    found += [f"a process is left: {command}" for command in run.left()]
    status, said = Launched(
        str(folders[1]), tiny_isc.MODULE, launcher=legacy_launcher(2), python=python
    ).finish()
    if status:
        return [*found, f"started again: status {status}: {said[-300:]}"]
    return found + differences(left_of_isc(folders[1]), left_of_isc(folders[0]))[:3]


ISC_STAGE = SharedStage(
    "isc_track2_train", tiny_isc.MODULE, (), lambda folder: tiny_isc.build(str(folder)), left_of_isc, (1, 1)
)
OVERLAYS_STAGE = SharedStage(
    "isc_overlays_train",
    tiny_overlays.MODULE,
    (),
    lambda folder: tiny_overlays.build(str(folder)),
    left_of_overlays,
    (1, 1),
    nearly,
)
