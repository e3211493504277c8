"""A process that works on one stage after the other: it imports the libraries once and starts each run as a
fork.

It reads jobs, objects of JSON, line by line from its standard input and answers with lines of JSON: rows as
they are found, then {"done": stage}, or {"failed": stage, "why": traceback} for a fault of the suite
itself.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import traceback
from pathlib import Path

from encore.runtime.shard_map import end_with_parent
from faults.kill import mounts
from faults.kill.alone import SHARED_MEMORY
from faults.kill.forked import prepare
from faults.kill.place import Place
from faults.kill.plan import Planned
from faults.kill.stage_faults import Lane, StageFaults
from faults.kill.stage_runs import StageRuns

SHARED_BYTES = 512 << 20
LATER = ("torch._dynamo",)
"""Libraries that runs import when they come to it."""


def main():
    settings = json.loads(sys.stdin.readline())
    end_with_parent(settings["parent"])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    lane = open_lane(Path(settings["folder"]))
    plan = {row["name"]: Planned.of(row) for row in settings["plan"]}
    modules = {planned.module for planned in plan.values()}
    if "checks" in modules:  # the real pipeline
        prepare(sorted(modules - {"checks"} | {"checks.cli", "checks.commands.data"}), LATER)
    else:
        prepare(sorted(modules))
    for line in sys.stdin:
        job = json.loads(line)
        planned = plan[job["stage"]]
        try:
            for row in do(lane, planned, Path(settings["reference"]), job):
                answers.write(json.dumps({"row": dataclasses.asdict(row)}) + "\n")
            answers.write(json.dumps({"done": planned.name}) + "\n")
        except Exception:
            answers.write(json.dumps({"failed": planned.name, "why": traceback.format_exc()}) + "\n")


def open_lane(folder):
    """The Lane in `folder`, with mounts of its own where the machine allows that; call before any thread
    starts."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        mounts.enter()
        mounts.mount_memory(SHARED_MEMORY, SHARED_BYTES)
    except OSError as error:
        return Lane(folder, f"no mounts of its own on this machine: {error.strerror}")
    return Lane(folder)


def do(lane, planned, reference, job):
    """One job: run the stage in the reference itself, or inject its faults there -> Rows."""
    if job["what"] == "reference":
        run_reference(lane, planned, reference)
        return []
    return StageFaults(lane, planned, reference, job["seed"], job["full"]).rows(job["number"])


def run_reference(lane, planned, reference):
    """Run a stage undisturbed in the folder `reference`; RuntimeError when it does not end well."""
    place = Place(planned, reference, reference, lane.folder / "temporary")
    place.temporary.mkdir(exist_ok=True)
    ended = StageRuns(place).run()
    if ended.status != 0:
        raise RuntimeError(f"{planned.name}: status {ended.status} without a fault: {ended.text[-500:]}")


if __name__ == "__main__":
    main()
