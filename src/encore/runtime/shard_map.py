"""One map over units of work: local processes or a Ray cluster, results in order, the same on any number of
workers."""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import ctypes
import importlib.util
import multiprocessing
import os
import signal
import sys

from encore.runtime.refusal import Refusal
from encore.runtime.unit_needs import PROCESSOR

CLUSTER = "ENCORE_CLUSTER"
LOCAL = "local"

_worker = None
_PR_SET_PDEATHSIG = 1
_chosen = {"address": None}


class ReadingAhead:
    """A worker that reads ahead from unit to unit: where one process does all units, it is given all of them
    at once."""

    def each(self, units):
        """Iterate over the result of each of `units` (a list), in order."""
        raise NotImplementedError

    def __call__(self, unit):
        (result,) = self.each([unit])
        return result


def use_cluster(address):
    """Let every later `map_units` of this process run on the Ray cluster at `address` (`host:port`,
    `ray://host:port` or `auto`; `local` or nothing: in processes of this machine) -> `address`.

    Raises Refusal when Ray is not installed; what is wrong with the address is said when it is used.
    """
    address = (address or LOCAL).strip()
    if address == LOCAL:
        _chosen["address"] = None
    elif importlib.util.find_spec("ray") is None:
        raise Refusal(
            "--cluster: Ray is not installed for {}: install the version that the cluster runs (locks: "
            "cuda101-ray.txt, cuda118-ray.txt, faults.txt), or leave --cluster out".format(sys.executable)
        )
    else:
        _chosen["address"] = address
    return address


def on_cluster():
    """Whether `map_units` runs on a cluster."""
    return _chosen["address"] is not None


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


def map_units(make_worker, units, workers, needs=PROCESSOR, folders=()):
    """Yield `worker(unit)` for every unit, in order, where `worker = make_worker()` is made once a process.

    With `workers` = 1 all runs in this process. At most two units a worker are under way at once, so memory
    stays bounded. An error in a unit is raised here and ends the others.

    On a cluster (`use_cluster`) `workers` says nothing: all its processors are used. There `make_worker` and
    units are pickled, results are small (`cluster_worker.MOST_RESULT_BYTES`): what is made is written to
    files that every node sees. `needs`: what a unit takes there: one PROCESSOR, as many as this process has
    THREADS, or a DEVICE: a GPU of its own where the cluster has any, else as THREADS. `folders`: where units
    write; temporary files that a process of the cluster left there when it died are removed at the end.
    """
    units = list(units)
    if on_cluster() and units:
        from encore.runtime.cluster_map import map_on_cluster

        yield from map_on_cluster(_chosen["address"], make_worker, units, needs, folders)
    elif workers <= 1 or len(units) <= 1:
        worker = make_worker()
        yield from worker.each(units) if isinstance(worker, ReadingAhead) else map(worker, units)
    else:
        yield from _map_in_processes(make_worker, units, min(workers, len(units)))


def _map_in_processes(make_worker, units, workers):
    context = multiprocessing.get_context("fork")
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
        except KeyboardInterrupt:
            sys.stderr.write("encore: interrupted: waiting for what is in work\n")
            sys.stderr.flush()  # Python 3.7 keeps it otherwise
            raise
        finally:
            for future in waiting:
                future.cancel()
            # Python 3.7 may wait for ever where a pool is shut down before it has noticed a cancelled unit.
            concurrent.futures.wait(waiting)


def add_cluster_flag(parser, maps):
    """Let an ArgumentParser accept `--cluster ADDRESS` and call `use_cluster` with it, or with the variable
    ENCORE_CLUSTER where it is not given. A program that does not map units refuses the flag, and leaves the
    variable, which is for a whole run of the pipeline, to those that do.
    """
    if maps:
        parser.add_argument(
            "--cluster",
            type=_given,
            default=os.environ.get(CLUSTER, "").strip() or LOCAL,
            metavar="ADDRESS",
            help="spread the work over a Ray cluster: host:port, ray://host:port or auto; default: the "
            "variable {}, else local, over processes of this machine".format(CLUSTER),
        )
    else:
        parser.add_argument("--cluster", type=_refuse, help=argparse.SUPPRESS)


def _given(address):
    if not address.strip():
        raise Refusal("--cluster: empty: give host:port, ray://host:port, auto or local, or leave it out")
    return use_cluster(address)


def _refuse(address):
    raise Refusal(
        "--cluster {}: this work has no independent parts and runs on one machine: leave --cluster "
        "out".format(address)
    )
