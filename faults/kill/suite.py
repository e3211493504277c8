"""The whole suite: a finished tiny size, and two processes that inject faults into its stages."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path

from faults.fault import Row
from faults.kill.plan import read_plan
from faults.kill.tiny_size import ROOT, build

LANES = 2
FURTHER_ITEMS = ("isc_track1_pretrain@152", "drip_train@c80", "reid_train@pcb_global_triplet")
"""Of each stage that runs for several items the first is taken, and these: other code makes them."""


class LaneProcess:
    """A process of lane.py, to which one job at a time is given."""

    def __init__(self, folder, plan, reference, imports=()):
        path = os.pathsep.join(map(str, (ROOT / "src", ROOT, *imports)))
        environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=path)
        environment.pop("ENCORE_ENVIRONMENT", None)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.kill.lane"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            bufsize=0,
        )
        self._begun = b""
        plan = [dataclasses.asdict(planned) for planned in plan.values()]
        self.send({"folder": str(folder), "reference": str(reference), "plan": plan, "parent": os.getpid()})
        self.job = None

    def send(self, value):
        self.job = value
        self._process.stdin.write(json.dumps(value).encode() + b"\n")
        self._process.stdin.flush()

    def fileno(self):
        return self._process.stdout.fileno()

    def answers(self):
        """What has come since the last call; RuntimeError when the process has ended or the suite itself
        failed."""
        found = os.read(self.fileno(), 1 << 16)
        if not found:
            raise RuntimeError(f"the process that works on {self.job['stage']} has ended")
        *lines, self._begun = (self._begun + found).split(b"\n")
        for value in map(json.loads, lines):
            if "failed" in value:
                raise RuntimeError(value["why"])
            if "done" in value:
                self.job = None
            yield value

    def close(self):
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


class Suite:
    """The reference and the lanes, a context manager; everything lies below a temporary folder.

    programs: {name: Planned} in place of the pipeline's stages, imports: folders that their modules come
    from.
    """

    def __init__(self, lanes=LANES, programs=None, imports=()):
        self._count, self._programs, self._imports = lanes, programs, imports
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="encore-faults-")))
        self.reference = self.folder / "reference"
        if self._programs is None:
            new_size(self.reference)
        else:
            self.reference.mkdir()
        self.plan = self._programs or read_plan(self.reference)
        self._lanes = []
        for number in range(self._count):
            lane = LaneProcess(self.folder / f"lane-{number}", self.plan, self.reference, self._imports)
            self._stack.callback(lane.close)
            self._lanes.append(lane)
            lane.job = None
        return self

    def __exit__(self, *error):
        self._stack.close()

    def make_reference(self, stages):
        """Run `stages` and all that they need, undisturbed, in the order of the pipeline."""
        needed = self._needed(stages)
        jobs = {name: self.plan[name].after for name in self.plan if name in needed}
        for _ in self.work(jobs, {"what": "reference"}):
            pass

    def rows(self, stages, full, seed=0, number=None):
        """Inject all faults into `stages`, or the one of this number at a point of a run -> Rows as they
        are found."""
        jobs = {name: () for name in stages}
        for value in self.work(jobs, {"what": "faults", "full": full, "seed": seed, "number": number}):
            row = value["row"]
            figures = tuple((name, figure) for name, figure in row["figures"])
            yield Row(**{**row, "losses": tuple(row["losses"]), "figures": figures})

    def work(self, jobs, job):
        """Give each of `jobs` ({stage: those that must be done before}) to a lane -> answers that are
        rows."""
        waiting, done = dict(jobs), set()
        while waiting or any(lane.job for lane in self._lanes):
            for lane in self._lanes:
                ready = next((name for name, after in waiting.items() if done.issuperset(after)), None)
                if lane.job is None and ready is not None:
                    del waiting[ready]
                    lane.send({**job, "stage": ready})
            for lane in select.select([lane for lane in self._lanes if lane.job], [], [])[0]:
                for value in lane.answers():
                    if "done" in value:
                        done.add(value["done"])
                    else:
                        yield value

    def _needed(self, stages):
        found, waiting = set(), list(stages)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.plan[name].after
        return found


def new_size(folder):
    """A tiny size in the new `folder`, which DVC takes for a project."""
    folder.mkdir(parents=True)
    build(folder)
    environment = dict(os.environ, DVC_NO_ANALYTICS="1")
    command = [sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"]
    subprocess.run(command, cwd=folder, env=environment, check=True)


def chosen_stages(plan):
    """Of each entry of the pipeline its first item, and FURTHER_ITEMS, in the order of the pipeline."""
    first = {}
    for name in plan:
        first.setdefault(name.split("@")[0], name)
    return [name for name in plan if name in first.values() or name in FURTHER_ITEMS]
