"""Two stages of a matrix at once in one folder, each on a GPU of its own, by `bin/pipeline --gpus`."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import yaml

from checks.size import PROJECT
from faults.fault import Row
from faults.storage.tiny_pipeline import TinyPipeline, drop_broken_lock, ended, kill

SUITE, PLACE = "storage", "two stages of a matrix at once"
GPUS = "0,1"
WAIT = 30
# each stage waits until the other has begun, which it never would if they ran one after the other
TRAIN = f"""
import os, sys, time
from pathlib import Path
mine, other = sys.argv[1], str(1 - int(sys.argv[1]))
Path("began" + mine).touch()
deadline = time.monotonic() + {WAIT}
while not Path("began" + other).exists():
    if time.monotonic() > deadline:
        sys.exit("the other stage did not run at the same time")
    time.sleep(0.02)
if Path("hold").exists():
    time.sleep({WAIT})
Path("model" + mine).write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
"""
PIPELINE = f"""stages:
  train:
    matrix: {{n: [0, 1]}}
    cmd: {sys.executable} train.py ${{item.n}}
    deps: [train.py]
    outs:
      - model${{item.n}}
  test:
    cmd: cat model0 model1 > tested
    deps: [model0, model1]
    outs: [tested]
"""


class Matrix(TinyPipeline):
    """A project whose two trainings end only when they run at the same time, and a test of both."""

    def __init__(self, folder):
        super().__init__(folder)
        (folder / "train.py").write_text(TRAIN)
        (folder / "dvc.yaml").write_text(PIPELINE)
        (folder / "bin").mkdir()
        for name in ("pipeline", "on-free-gpu"):
            shutil.copy(PROJECT / "bin" / name, folder / "bin" / name)

    def start_pipeline(self):
        """Start `bin/pipeline --gpus 0,1`."""
        path = f"{Path(sys.executable).parent}:{self.environment()['PATH']}"
        return self.start("--gpus", GPUS, program=(str(self.folder / "bin" / "pipeline"),), PATH=path)

    def problems(self):
        """What is not as both trainings and the test leave it."""
        found, devices = [], []
        for name in ("model0", "model1"):
            path = self.folder / name
            devices.append(path.read_text() if path.is_file() else "missing")
        if sorted(devices) != GPUS.split(","):
            found.append(f"model0 and model1 were made on {' and '.join(devices)}, not one on each of {GPUS}")
        lock = self.folder / "dvc.lock"
        stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"] if lock.exists() else {}
        if sorted(stages) != ["test", "train@0", "train@1"]:
            found.append(f"dvc.lock holds {sorted(stages)}")
        return found + self.status_problems()


def rows(full):
    """Both at once, and killed while both run; full: each several times."""
    again = 3 if full else 1
    yield _row("both end", [both_end] * again)
    if full:
        yield _row("SIGKILL of both and of dvc", [killed] * again)


def both_end(matrix):
    """Both run and end at the same time, with one dvc.lock."""
    status, text = ended(matrix.start_pipeline())
    found = [f"status {status}: {' '.join(text.split())[-300:]}"] if status else []
    return found + matrix.problems()


def killed(matrix):
    """All is killed while both run; the same command then ends well."""
    (matrix.folder / "hold").touch()
    process = matrix.start_pipeline()
    began = [matrix.folder / "began0", matrix.folder / "began1"]
    deadline = time.monotonic() + WAIT
    while not all(path.exists() for path in began) and time.monotonic() < deadline:
        time.sleep(0.02)
    kill(process)
    drop_broken_lock(matrix.folder)
    (matrix.folder / "hold").unlink()
    if not all(path.exists() for path in began):
        return ["the two stages never ran at the same time"]
    for path in began:
        path.unlink()
    return both_end(matrix)


@contextmanager
def matrix():
    """A new Matrix."""
    with tempfile.TemporaryDirectory(prefix="encore-storage-") as folder:
        yield Matrix(Path(folder) / "project")


def _row(kind, faults):
    began, losses = time.monotonic(), []
    for fault in faults:
        with matrix() as project:
            problems = fault(project)
        if problems:
            losses.append("; ".join(problems[:3]))
    seconds = time.monotonic() - began
    return Row(SUITE, PLACE, kind, len(faults), len(faults) - len(losses), seconds, tuple(losses))
