"""Shared memory: loader processes hand their batches over in /dev/shm."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import multiprocessing
import os
import shutil

PLACE = "/dev/shm"
PREFETCHED = 2
"""Batches that a loader process makes ahead (the default of torch's DataLoader)."""


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


def own_semaphores(folder):
    """Let the semaphores of this process's workers have names of the run in `folder`, which is locked, and
    remove those that a killed run of it has left in /dev/shm (it was hit between making and hiding one)."""
    name = "encore-" + hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:12]
    for path in glob.glob(os.path.join(PLACE, "sem.{}-*".format(name))):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    # No public function names them; without this name they only have the one of any Python program.
    getattr(multiprocessing.current_process(), "_config", {})["semprefix"] = "/" + name
