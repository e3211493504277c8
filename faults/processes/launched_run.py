"""A stage on several processes, started by its real command line, and what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
MARK = "ENCORE_FAULTS_RUN"
"""A variable of all processes of a run, by which they are found when some are left."""
SECONDS = 240
"""After which a run counts as stuck."""


class Ended(NamedTuple):
    """How a run ended."""

    status: int
    said: str
    """What all its processes have written to stderr."""
    left: tuple
    """Ids of its processes that were still there, which are ended."""

    def refusals(self):
        """The lines of it that are a Refusal's, without repetitions."""
        return sorted(
            {line for line in self.said.splitlines() if line.startswith("encore: ") and "warning" not in line}
        )


def run_stage_on(count, folder, module, arguments, restarts=0, injected=None):
    """Run `python -m module arguments` in `folder` on `count` processes by torchrun, 1 without it -> Ended.

    injected: (kind, rank, (epoch, step)) of a fault, see `injected_step`.
    """
    command = [sys.executable]
    if count > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
        command += ["--max_restarts", str(restarts)]
    if injected is not None:
        kind, rank, (epoch, step) = injected
        command += [
            "-m",
            "faults.processes.injected_step",
            kind,
            str(rank),
            f"{epoch}:{step}",
            module,
            *arguments,
        ]
    else:
        command += ["-m", module, *arguments]
    mark = uuid.uuid4().hex
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    clean = {
        name: value for name, value in os.environ.items() if name not in ("WORLD_SIZE", "RANK", "LOCAL_RANK")
    }
    environment = dict(clean, PYTHONPATH=path, OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="", **{MARK: mark})
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        said = process.communicate(timeout=SECONDS)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        _end(_alive(mark))
        said = process.communicate()[1] + "\nstuck"
    return Ended(process.returncode, said, _end(_alive(mark, patience=5)))


def _alive(mark, patience=0.0):
    """Ids of the run's processes that are still there after so many seconds."""
    end = time.monotonic() + patience
    while True:
        found = [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _belongs(entry, mark)]
        if not found or time.monotonic() >= end:
            return found
        time.sleep(0.05)


def _belongs(entry, mark):
    try:
        return f"{MARK}={mark}".encode() in (entry / "environ").read_bytes()
    except OSError:  # it has ended, or is another user's
        return False


def _end(processes):
    for process in processes:
        os.kill(process, signal.SIGKILL)
    return tuple(processes)
