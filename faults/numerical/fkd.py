"""Numerical faults in the trainers of fkd: students on stored labels and online, teachers, baselines."""

from __future__ import annotations

import json
import re
import tempfile
import time
from pathlib import Path

from encore.training.refused_step import FAULT_FILE
from faults import tiny_fkd
from faults.fault import Row
from faults.poisoned_fkd import KINDS

SUITE = "numerical"
EPOCH, STEP = 1, 2
"""Where the fault is; the batch is the short last one of the run."""
SHORT = (("fkd_train", "nan"),)
AS_SQUEEZE = ("fkd_baseline", "nan")
"""The same trainer as fkd_squeeze: one fault shows that the stage uses it."""
LOOKED_AT = ("fkd_train", "fkd_squeeze")
"""Stages whose --replay-step is started by the real command line."""


def rows(full):
    """Yield a Row for each stage and kind of fault; full: all of them, and --replay-step."""
    stages = tuple(tiny_fkd.COMMANDS) if full else sorted({stage for stage, _ in SHORT})
    with tempfile.TemporaryDirectory() as folder:
        for stage in stages:
            whole = Undisturbed(Path(folder) / stage, stage)
            kinds = [kind for found, kind in SHORT + (AS_SQUEEZE,) if found == stage]
            for kind in KINDS if full and stage != AS_SQUEEZE[0] else kinds:
                yield row(Path(folder), whole, kind)
            if full and stage in LOOKED_AT:
                yield looked_at(Path(folder), stage)


class Undisturbed:
    """A run of `stage` in `folder` with no fault, and the state that it saves before (EPOCH, STEP)."""

    def __init__(self, folder, stage):
        self.stage = stage
        self.ended, self.stopped = folder / "ended", folder / "stopped"
        for place, poison, expected in (
            (self.ended, None, 0),
            (self.stopped, f"kill@{EPOCH}:{STEP}", -9),  # after the state before that step was saved
        ):
            place.mkdir(parents=True)
            tiny_fkd.write_project(place)
            statuses, said = tiny_fkd.run_forked(place, stage, poison=poison)
            if statuses != [expected]:
                raise RuntimeError(f"{stage}: a run without a fault ended with {statuses}: {said[0][-500:]}")
        self.state, self.outcome = work_state(self.stopped), tiny_fkd.outcome(self.ended, stage)
        if not self.state or not self.outcome:
            raise RuntimeError(f"{stage}: a run without a fault left no state, or published nothing")


def row(folder, whole, kind):
    """The Row of one fault at one stage, in a project of its own below `folder`."""
    began = time.monotonic()
    place = folder / f"{whole.stage}-{kind}"
    place.mkdir()
    tiny_fkd.write_project(place)
    poison = f"{kind}@{EPOCH}:{STEP}"
    (status,), (said,) = tiny_fkd.run_forked(place, whole.stage, poison=poison)
    losses = refusal_losses(status, said, place)
    if work_state(place) != whole.state:
        losses.append("the state saved is not that of an undisturbed run before the step")
    (status,), (said,) = tiny_fkd.run_forked(place, whole.stage)
    if status != 0 or tiny_fkd.outcome(place, whole.stage) != whole.outcome:
        losses.append(
            f"with the cause mended it does not end in the bits of an undisturbed run: {said[-300:]}"
        )
    return made_row(whole.stage, KINDS[kind][0], losses, time.monotonic() - began)


def refusal_losses(status, said, place):
    """What is missing of the end that a fault at (EPOCH, STEP) shall have."""
    lines = [line for line in said.replace("\r", "\n").splitlines() if line.startswith("encore: ")]
    losses = [] if status == 2 else [f"status {status}, expected 2"]
    if len(lines) != 1 or f"epoch {EPOCH}, step {STEP}: " not in lines[0]:
        return losses + [f"expected one line that names epoch {EPOCH}, step {STEP}, found {lines}"]
    if not re.search(r"its batch of \d+: class\d/\d\d\.png, ", lines[0]):
        losses.append(f"the line names no pictures: {lines[0]}")
    found = list(place.glob(f".work/*/*/{FAULT_FILE}"))
    described = json.loads(found[0].read_text(encoding="utf-8")) if found else {}
    if (described.get("epoch"), described.get("step")) != (EPOCH, STEP) or not described.get("batch"):
        losses.append(f"{FAULT_FILE} does not name the step and its pictures")
    return losses


def looked_at(folder, stage):
    """The Row of --replay-step at the fault of a stage, by the real command line: beside the state before the
    step, and from the start of a run that has left nothing."""
    began = time.monotonic()
    place, fresh = folder / f"{stage}-replayed", folder / f"{stage}-replayed-from-the-start"
    for made in (place, fresh):
        made.mkdir()
        tiny_fkd.write_project(made)
    tiny_fkd.run(place, stage, poison=f"nan@{EPOCH}:{STEP}")
    losses = replay_losses(place, stage)
    losses += [f"from the start: {loss}" for loss in replay_losses(fresh, stage)]
    return made_row(stage, "--replay-step", losses, time.monotonic() - began)


def replay_losses(place, stage, run=tiny_fkd.run):
    """Look at the fault of a stage in the project `place` -> what is not as it shall be."""
    before = files_of(place)
    done = run(place, stage, "--replay-step", f"{EPOCH}:{STEP}", poison=f"nan@{EPOCH}:{STEP}")
    losses = [] if done.returncode == 2 else [f"status {done.returncode}, expected 2: {done.stderr[-300:]}"]
    if f"epoch {EPOCH}, step {STEP}: the loss is nan" not in done.stdout:
        losses.append("the fault is not shown")
    if "first outputs that are not finite:" not in done.stdout:
        losses.append("no layer is named")
    if not re.search(r"batch of \d+:\n  class\d/\d\d\.png\n", done.stdout):
        losses.append("no pictures are named")
    after = files_of(place)
    changed = sorted(
        str(path) for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )
    if changed:
        losses.append(f"files have changed: {', '.join(changed[:3])}")
    return losses


def made_row(place, kind, losses, seconds):
    """The Row of one injected fault."""
    told = ("; ".join(losses),) if losses else ()
    return Row(SUITE, place, kind, 1, 0 if losses else 1, seconds, told)


def work_state(place):
    """The newest saved state below a project, {file name: content}, without other files."""
    return {path.name: tiny_fkd.content_of(path) for path in place.glob(".work/*/*/work_*.tar")}


def files_of(place):
    """{path: content} of all files below a project but locks, which hold the number of a process."""
    return {
        path.relative_to(place): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.name != "lock" and "__pycache__" not in path.parts
    }
