"""Runs of stages as forks of a process that has imported their libraries: a start takes a tenth of a second.

What a fork does from then on is what `python -m MODULE ARGUMENTS` does: the project's own modules are
imported anew.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib
import os
import runpy
import select
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from encore.runtime.shard_map import end_with_parent

_own = {"encore", "stages", "checks"}
_PR_SET_CHILD_SUBREAPER = 36
SECONDS_TO_DIE = float(os.environ.get("KILL_SECONDS_TO_DIE", 5))
"""For the workers of a killed run: they are ended by the kernel when their parent is gone."""


def prepare(modules, libraries=()):
    """Import `libraries` and what the project's `modules` need, and adopt whatever runs leave behind."""
    for name in (*modules, *libraries):
        importlib.import_module(name)
    _own.update(name.split(".")[0] for name in modules)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


class Forked:
    """One run of a module in a process and a process group of its own.

    folder: its working directory; inside: called in the process before the module. What it prints goes
    through a pipe: a limit on the size of files does not hold for it.
    """

    def __init__(self, module, arguments, folder, inside=None):
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        self._printed = []
        self.began = time.perf_counter()
        parent = os.getpid()
        self.pid = os.fork()
        if not self.pid:
            _become(module, arguments, folder, write, inside, parent)
        os.close(write)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(self.pid, self.pid)
        self._ended = os.pidfd_open(self.pid)
        self._poll = select.poll()
        self._poll.register(self._ended, select.POLLIN)
        self._poll.register(self._read, select.POLLIN)

    def wait(self, seconds):
        """Exit status, negative for a signal's number; None when it has not ended after `seconds`."""
        end = time.perf_counter() + seconds
        while True:
            ready = [
                descriptor for descriptor, _ in self._poll.poll(max(end - time.perf_counter(), 0) * 1000)
            ]
            if self._read in ready:
                self._drain()
            if self._ended in ready:
                break
            if time.perf_counter() >= end:
                return None
        _, status = os.waitpid(self.pid, 0)
        self._drain()
        os.close(self._ended)
        os.close(self._read)
        return os.waitstatus_to_exitcode(status)

    def goes_on(self, seconds=0.002):
        """Wait that long at most; returns whether the process is still running. `wait` is to be called
        afterwards."""
        self._drain()
        return not _ready(self._ended, seconds)

    def _drain(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                found = os.read(self._read, 1 << 16)
                if not found:
                    with contextlib.suppress(KeyError):
                        self._poll.unregister(self._read)
                    return
                self._printed.append(found)

    def signal(self, number, group=False):
        """Send a signal to the process, or to its group."""
        (os.killpg if group else os.kill)(self.pid, number)

    @property
    def text(self):
        """All that was printed so far."""
        return b"".join(self._printed).decode("utf-8", "replace")


def _ready(descriptor, seconds):
    return bool(select.select([descriptor], [], [], seconds)[0])


def children(pid="self"):
    """Process ids of the children of `pid`."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{pid}/task"):
            found += Path(f"/proc/{pid}/task/{task}/children").read_text().split()
    return [int(child) for child in found]


def survivors():
    """What is still alive of ended runs: command lines of orphans, which are ended then; none after a clean
    end."""
    end = time.perf_counter() + SECONDS_TO_DIE
    while _reaped() and time.perf_counter() < end:
        time.sleep(0.005)
    left = []
    for child in children():
        with contextlib.suppress(OSError):
            left.append(
                "process " + Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ").strip()[:80]
            )
            os.kill(child, signal.SIGKILL)
    while _reaped():
        time.sleep(0.005)
    return left


def _reaped():
    """Take note of children that have ended; returns whether others are alive."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _become(module, arguments, folder, output, inside, parent):
    """In the fork: be `python -m module arguments`, and never return."""
    status = 1
    try:
        end_with_parent(parent)
        os.setpgid(0, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(folder)
        for name in [name for name in sys.modules if name.split(".")[0] in _own]:
            del sys.modules[name]
        sys.argv = [module, *arguments]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if inside is not None:
            inside()
        status = _run(module)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _run(module):
    """The exit status of the module, its threads and exit functions waited for as Python does at its end."""
    status = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status
