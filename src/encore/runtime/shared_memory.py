"""Shared memory: loader processes hand their batches over in /dev/shm."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import multiprocessing
import os
import shutil
from multiprocessing.util import Finalize

PLACE = "/dev/shm"
PREFETCHED = 2
"""Batches that a loader process makes ahead (the default of torch's DataLoader)."""
NOTED = "loader-"
"""Beginning of the names of files that name processes."""


def shared_memory():
    """(free, total) bytes of /dev/shm, or None on a system without it."""
    if not os.path.isdir(PLACE):
        return None
    usage = shutil.disk_usage(PLACE)
    return usage.free, usage.total


def loader_bytes(workers, batch, in_use=None):
    """Bytes of shared memory for `workers` loader processes with batches of `batch` bytes.

    in_use: bytes that the receiver still holds (default: one batch). 0 workers need none.
    """
    return PREFETCHED * workers * batch + (batch if in_use is None else in_use) if workers else 0


def note_process(folder):
    """Leave a file in `folder`, of temporary files of a run, that names this process until it ends by itself.

    torch makes a segment of shared memory, and then takes its name away: where a process is killed between
    the two, the segment stays, unless `remove_segments` knows whose it is.
    """
    path = os.path.join(folder, "{}{}".format(NOTED, os.getpid()))
    with contextlib.suppress(OSError):  # no room: the work goes on, and a kill may leave a segment
        open(path, "w").close()
        Finalize(None, os.unlink, (path,), exitpriority=0)


def remove_segments(folder):
    """Remove the segments of torch whose processes are noted in `folder`, and have ended."""
    for path in glob.glob(os.path.join(glob.escape(folder), NOTED + "*")):
        number = path.rpartition("-")[2]
        if number.isdigit() and _has_ended(number):
            for segment in glob.glob(os.path.join(PLACE, "torch_{}_*".format(number))):
                with contextlib.suppress(FileNotFoundError, PermissionError):  # another user's by now
                    os.unlink(segment)


def _has_ended(process):
    try:
        with open("/proc/{}/cmdline".format(process), "rb") as file:
            return not file.read(1)  # empty where nobody has asked yet how it ended
    except (FileNotFoundError, ProcessLookupError):
        return True


def own_semaphores(folder):
    """Let the semaphores of this process's workers have names of the run in `folder`, which is locked, and
    remove those that a killed run of it has left in /dev/shm (it was hit between making and hiding one)."""
    name = "encore-" + hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:12]
    for path in glob.glob(os.path.join(PLACE, "sem.{}-*".format(name))):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    # No public function names them; without this name they only have the one of any Python program.
    getattr(multiprocessing.current_process(), "_config", {})["semprefix"] = "/" + name
