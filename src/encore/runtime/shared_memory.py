"""Shared memory: loader processes hand their batches over in /dev/shm."""

from __future__ import annotations

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
