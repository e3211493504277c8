"""Measuring one subject at one size from outside: child processes, their open files, repeats."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

from benchmarks.growth.subjects import subject

SAMPLE_SECONDS = 0.004
REPEATS = 3
CHEAP_SECONDS = 4.0
"""A size whose process took longer is not measured again."""


class ChildFailed(RuntimeError):
    """A measured process ended with an error."""


def points(name, sizes, repeats=REPEATS):
    """Yield the point of each of `sizes`: dict of n, the least seconds, and the most memory, open files and
    objects of `repeats` processes."""
    for n in sizes:
        yield point(name, n, repeats)


def point(name, n, repeats=REPEATS):
    """The figures of the subject `name` at size n."""
    found = []
    with tempfile.TemporaryDirectory(prefix="encore-growth-") as folder:
        if hasattr(subject(name), "prepare"):
            _run("prepare", name, n, folder)
        for _ in range(repeats):
            began = time.perf_counter()
            found.append(_run("measure", name, n, folder))
            if time.perf_counter() - began > CHEAP_SECONDS:
                break
    least = {key: min(row[key] for row in found) for key in ("processor_seconds", "wall_seconds")}
    most = {
        key: max(row[key] for row in found)
        for key in ("peak_memory_bytes", "open_files", "objects", "stored_bytes")
    }
    return {"n": n, "repeats": len(found), **least, **most}


def _run(what, name, n, folder):
    """What the child prints, with the most files that it was seen to have open."""
    arguments = [sys.executable, "-m", "benchmarks.growth.child", what, name, str(n), folder]
    # to files: a pipe that nobody reads while the child is watched could fill
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        environment = dict(os.environ, OMP_NUM_THREADS="1")
        process = subprocess.Popen(arguments, stdout=output, stderr=errors, env=environment)
        most = 0
        while process.poll() is None:
            most = max(most, open_files(process.pid))
            time.sleep(SAMPLE_SECONDS)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            last = errors.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise ChildFailed(f"{what} {name} {n}: status {process.returncode}: {last}")
        text = output.read().decode("ascii")
    if what == "prepare":
        return {}
    found = json.loads(text)
    return dict(found, open_files=max(most, found["open_files"]))


def open_files(process):
    """How many files a process has open; 0 once it has ended."""
    try:
        return len(os.listdir(f"/proc/{process}/fd"))
    except OSError:
        return 0
