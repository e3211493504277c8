"""Faults of the machine that end a run, full disks and killed processes, as one line that says what to do."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
import tempfile
import threading
import traceback
from concurrent.futures.process import BrokenProcessPool

from encore.runtime import shared_memory

AGAIN = "then run the same command again to go on"
FULL_BELOW = 1 << 20
"""Bytes: a disk with less than that free is full."""

OF_FILES = {
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "the disk quota is used up: make room, or have it raised",
    errno.EFBIG: "larger than the limit on the size of a file: raise it (ulimit -f), or use another disk",
    errno.EROFS: "a read-only file system: mount it for writing, or move the project",
    errno.EACCES: "not permitted: give this user the right to read and write there",
    errno.EPERM: "not permitted: give this user the right to read and write there",
    errno.EISDIR: "a folder where a file belongs: move the folder away, or name the file",
    errno.ENOTDIR: "a file stands where this path has a folder: move the file away, or mend the path",
    errno.EIO: "the disk reports an error: see the log of the kernel, and mend or replace the disk",
    errno.ESTALE: "the network storage has lost this file: mount it again",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n), or lower workers",
    errno.ENFILE: "too many open files on this machine: end other programs, or lower workers",
    errno.ENOMEM: "the memory is full: free some, or lower workers",
}
"""Error of the system -> what it means and what to do."""

SHARED_MEMORY = (
    "no shared memory is left for the worker processes: free some of {}, lower workers, or give the "
    "container more: --shm-size (ENCORE_SHM_SIZE); " + AGAIN
)
WORKER_KILLED = (
    "a worker process was killed, most often for lack of memory: free some, or lower workers; " + AGAIN
)
NO_MEMORY = "the memory is full: free some, or lower workers or the batch; " + AGAIN
CUT_SHORT = re.compile(r"\d+ requested and \d+ written|encoder error -2")  # numpy's words, and Pillow's
NAMED_ERROR = re.compile(r"errno = (\d+)")  # HDF5's
SHARED_MEMORY_TEXT = re.compile(r"shared memory|unable to \w+ (to )?file <?/torch_|torch_shm_manager")
TOO_MANY_TEXT = re.compile("Too many open files")  # what torch makes of it, without the error itself
WORKER_TEXT = re.compile(r"DataLoader worker \(pid.*(killed by signal|exited unexpectedly)")

LOADER = os.path.join("torch", "utils", "data", "dataloader.py")
"""Where torch takes batches from its workers."""


def advice(error):
    """One line for an error that the machine is to blame for, and not the run; None for any other.

    Errors on the way to this one are looked at too: a library may have failed over an earlier one.
    """
    found = list(_chain(error))
    for one in found:
        line = _of_file(one)
        if line is not None:
            return line
    for one in found:
        if isinstance(one, RuntimeError) and SHARED_MEMORY_TEXT.search(str(one)):
            return SHARED_MEMORY.format(shared_memory.PLACE)
    if any(_tells_of_a_worker(one) for one in found):
        return WORKER_KILLED
    return NO_MEMORY if any(isinstance(one, MemoryError) for one in found) else None


def say_once():
    """Let a fault of the machine be told by the line that ends this process: of what it breaks in other
    threads there is one line of warning and no traceback, of what it breaks in destructors nothing."""
    if not hasattr(threading, "excepthook"):  # before Python 3.8
        return
    in_thread, unraisable = threading.excepthook, sys.unraisablehook

    def told(thread):
        line = advice(thread.exc_value) if isinstance(thread.exc_value, Exception) else None
        if line is None:
            in_thread(thread)
        else:
            sys.stderr.write("encore: warning: {}\n".format(line))  # at once: others write there too

    def kept_silent(found):
        if not isinstance(found.exc_value, Exception) or advice(found.exc_value) is None:
            unraisable(found)

    threading.excepthook, sys.unraisablehook = told, kept_silent


def _chain(error):
    """The error, those that it was raised from, and those that were being handled when it was raised, unless
    it says that it has nothing to do with them (`from None`)."""
    seen, waiting = set(), [error]
    while waiting:
        one = waiting.pop(0)
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, None if one.__suppress_context__ else one.__context__]


def _tells_of_a_worker(error):
    if isinstance(error, BrokenProcessPool):
        return True
    if isinstance(error, RuntimeError):
        return WORKER_TEXT.search(str(error)) is not None
    # A worker that is killed while it hands a batch over: torch may not know yet that it is gone.
    cut_off = isinstance(error, (EOFError, ConnectionError))
    return cut_off and any(LOADER in frame.filename for frame in traceback.extract_tb(error.__traceback__))


def _of_file(error):
    if isinstance(error, RuntimeError) and TOO_MANY_TEXT.match(str(error)):
        return "{}: {}; {}".format(os.getcwd(), OF_FILES[errno.EMFILE], AGAIN)
    if not isinstance(error, OSError):
        return None
    named = NAMED_ERROR.search(str(error)) if error.errno is None else None
    number = int(named.group(1)) if named else error.errno
    if number is None and CUT_SHORT.search(str(error)):
        number = errno.EFBIG if _full_place() is None else errno.ENOSPC
    if number not in OF_FILES:
        return None
    place = error.filename
    if place is None and number == errno.ENOSPC:
        place = _full_place()
        if place == shared_memory.PLACE:
            return SHARED_MEMORY.format(place)
    text = os.fsdecode(place) if isinstance(place, (str, bytes)) else os.getcwd()
    return "{}: {}; {}".format(text, OF_FILES[number], AGAIN)


def _full_place():
    """The first place that a run writes to and that is full; None where none is."""
    folder = os.getcwd()  # its .work may be a link to another disk
    for place in (folder, os.path.join(folder, ".work"), tempfile.gettempdir(), shared_memory.PLACE):
        if os.path.isdir(place) and shutil.disk_usage(place).free < FULL_BELOW:
            return place
    return None
