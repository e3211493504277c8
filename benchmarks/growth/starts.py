"""How long a stage takes before it does anything: interpreter, imports, reading its flags."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys

STAGES = (
    "isc_track2.generate",
    "isc_track2.train",
    "isc_track1.extract",
    "isc_track1.fuse",
    "fkd.train",
    "drip.infer",
    "reid.train",
)
REPEATS = 3


def measured(stages=STAGES, repeats=REPEATS):
    """{"seconds": processor seconds, the mean of the stages; "stages": {stage: the least of some starts}}."""
    found = {stage: min(_start(stage) for _ in range(repeats)) for stage in stages}
    return {"seconds": statistics.mean(found.values()), "stages": found}


def _start(stage):
    before = _children_seconds()
    subprocess.run(
        [sys.executable, "-m", "stages." + stage, "--help"],
        check=True,
        stdout=subprocess.DEVNULL,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
    )
    return _children_seconds() - before


def _children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
