"""Two `dvc repro` at the same time, really."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

from faults.fault import Row
from faults.kill.injection import TWO_RUNS
from faults.kill.place import digests
from faults.kill.suite import new_size

STAGES = ("isc_track2_generate", "isc_track2_pretrain", "fkd_relabel", "drip_pictures")
"""Their ends, with all that they need, run twice at once."""
DELAYS = (0.0, 1.5, 3.0)
"""Seconds between the starts."""
REFUSED = re.compile(r"[Uu]nable to acquire lock|is busy|process \d+ is running this stage already")
SECONDS = 300


def two_repros(suite):
    """Yield the Row of the two runs; suite: a Suite whose reference has STAGES."""
    began, losses = time.perf_counter(), []
    for delay in DELAYS:
        texts = _once(suite, delay, suite.folder / f"two-{delay}")
        losses += [f"{delay} s apart: {'; '.join(texts)}"] if texts else []
    place, seconds = "dvc repro", time.perf_counter() - began
    yield Row("kill", place, TWO_RUNS, len(DELAYS), len(DELAYS) - len(losses), seconds, tuple(losses))


def _once(suite, delay, folder):
    """What is wrong after two runs that start `delay` seconds apart: texts."""
    new_size(folder)
    runs = [_start(folder, "repro", *STAGES)]
    time.sleep(delay)
    runs.append(_start(folder, "repro", *STAGES))
    said = [run.communicate(timeout=SECONDS)[0] for run in runs]
    texts = [
        f"one ended with status {run.returncode}: {text[-300:]!r}"
        for run, text in zip(runs, said, strict=True)
        if run.returncode and not REFUSED.search(text)
    ]
    if all(run.returncode for run in runs):
        texts.append("both were refused")
    for command in (("repro", *STAGES), ("status", "--quiet", *STAGES)):
        run = _start(folder, *command)
        text = run.communicate(timeout=SECONDS)[0]
        if run.returncode:
            texts.append(f"dvc {command[0]} afterwards: status {run.returncode}: {text[-300:]!r}")
    return texts + _unlike(suite, folder)


def _unlike(suite, folder):
    made = [path for name in STAGES for path in suite.plan[name].compared]
    found, expected = digests(folder, made), digests(suite.reference, made)
    texts = [
        f"{path} is not the one of an undisturbed run" for path in made if found.get(path) != expected[path]
    ]
    left = [path for path in folder.rglob("*") if ".tmp-" in path.name or ".replaced-" in path.name]
    return texts + [f"{path} is left" for path in left]


def _start(folder, *command):
    environment = dict(os.environ, OMP_NUM_THREADS="1", DVC_NO_ANALYTICS="1")
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
