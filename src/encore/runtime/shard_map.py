"""One map over units of work: local processes, results in order, the same whatever the number of workers."""

from __future__ import annotations

import collections
import concurrent.futures
import ctypes
import multiprocessing
import os
import signal

_worker = None
_PR_SET_PDEATHSIG = 1


def end_with_parent(parent):
    """End this process when its `parent` (a process id) ends.

    A killed run must not leave workers behind: they would hold its lock and go on writing.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _start(make_worker, parent):
    global _worker
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker = make_worker()


def _call(unit):
    return _worker(unit)


def map_units(make_worker, units, workers):
    """Yield `worker(unit)` for every unit, in order, where `worker = make_worker()` is made once a process.

    With `workers` = 1 all runs in this process. At most two units a worker are under way at once, so memory
    stays bounded. An error in a unit is raised here and ends the others.
    """
    units = list(units)
    if workers <= 1 or len(units) <= 1:
        worker = make_worker()
        for unit in units:
            yield worker(unit)
        return
    context = multiprocessing.get_context("fork")
    workers = min(workers, len(units))
    with concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start, initargs=(make_worker, os.getpid())
    ) as pool:
        waiting = collections.deque()
        try:
            for unit in units:
                waiting.append(pool.submit(_call, unit))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            # Python 3.7 may wait for ever where a pool is shut down before it has noticed a cancelled unit.
            concurrent.futures.wait(waiting)
