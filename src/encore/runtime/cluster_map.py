"""The map over units on a Ray cluster.

Ray places units, and does one again whose process or node has died. Ours is what it does not do: results in
order, a bounded number of units under way, and the check that every node has the same storage and code.
Nothing but small records comes back: what a unit makes, it writes to files.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import os
import pickle
import re
import shutil
import socket
import sys
import time
import uuid
from typing import NamedTuple

from encore.runtime import cluster_worker
from encore.runtime.atomic import replacing
from encore.runtime.cluster_worker import PROCESS, REFUSED, TOKEN, Job
from encore.runtime.loaded_code import import_folders, loaded_code
from encore.runtime.refusal import Refusal
from encore.runtime.unit_needs import DEVICE, PROCESSOR

RETRIES = 10
"""How often a unit is done again whose process or node died; an error that our code raises ends the run."""
ANSWER_SECONDS = 120
"""A node that has not started a process and answered by then is not fit."""
SEEN_SECONDS = 15
"""Until what a node wrote must be seen here; network storage may be late."""
LOOK_SECONDS = 5
"""How often the size of the cluster is looked at."""
END_SECONDS = 10
"""For units under way to end by themselves when the run ends early; then their processes are killed."""
JOBS = os.path.join(".work", "cluster")
LOCK = "lock"
"""File in a job's folder that is locked as long as the job lasts."""
WRITTEN = re.compile(r"\.tmp-(writing|[0-9a-f]{12})$")
"""End of the names of `atomic.replacing`'s temporary files, which their process keeps locked."""
HANDED_ON = ("ENCORE_", "OMP_", "MKL_", "OPENBLAS_", "CUBLAS_", "NVIDIA_TF32", "TORCH_", "PYTHONHASHSEED")
"""Beginnings of the variables that change results and go to every process."""
KEPT_HERE = ("ENCORE_CLUSTER",)


class Traffic:
    """How much has come back from units to this process since it started."""

    def __init__(self):
        self.results = self.bytes = self.largest = 0

    def add(self, size):
        self.results += 1
        self.bytes += size
        self.largest = max(self.largest, size)


traffic = Traffic()


def map_on_cluster(address, make_worker, units, needs, folders=()):
    """`shard_map.map_units` on the cluster at `address`, whatever its size is at the time."""
    ray = _connected(address)
    needs = _needs(ray, needs)
    with _job_folder() as folder:
        job = _job(folder, needs.gpu)
        packed = pickle.dumps(job, protocol=4)
        _check_nodes(ray, packed, job, needs)
        references = [ray.put(packed), ray.put(_packed(make_worker))]
        do = ray.remote(cluster_worker.do_unit).options(
            num_cpus=needs.cpus, num_gpus=1 if needs.gpu else 0, max_retries=RETRIES
        )
        try:
            yield from _in_order(
                ray, lambda unit: do.remote(job.token, references, unit), units, needs, folder
            )
        finally:
            _remove_temporaries(folders, folder)


class Needs(NamedTuple):
    """What one unit takes of a node."""

    cpus: int
    gpu: bool

    def units_at_once(self, nodes):
        """How many units the living ones of `nodes` (as ray.nodes() lists them) do at a time."""
        return sum(self._on(node["Resources"]) for node in nodes if node["Alive"])

    def _on(self, resources):
        fit = int(resources.get("CPU", 0) // self.cpus)
        return min(fit, int(resources.get("GPU", 0))) if self.gpu else fit


def _needs(ray, what):
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if what == PROCESSOR:
        return Needs(1, False)
    if what == DEVICE and any(resources.get("GPU", 0) >= 1 for resources in nodes):
        return Needs(1, True)
    most = max(int(resources.get("CPU", 0)) for resources in nodes)
    return Needs(max(min(_threads(), most), 1), False)


def _connected(address):
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = _imported(address)
    if ray.is_initialized():
        return ray
    _refuse_silent(address)
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"env_vars": _variables()},
        )
    except (ConnectionError, RuntimeError, ValueError, ImportError, OSError) as error:
        raise Refusal(
            "--cluster {}: no connection with Ray {} and Python {}.{} ({}): give the address of a running "
            "cluster, and let its versions be the same".format(
                address, ray.__version__, *(sys.version_info[:2] + (_one_line(error),))
            )
        ) from None
    return ray


def _imported(address):
    """Ray; Refusal where it is installed and cannot be imported."""
    try:
        import ray
    except Exception as error:  # another package's, of any kind
        raise Refusal(
            "--cluster {}: Ray is installed for {} and does not import ({}): install it again with what "
            "it needs (locks: cuda101-ray.txt, cuda118-ray.txt, faults.txt), or leave --cluster out".format(
                address, sys.executable, _one_line("{}: {}".format(type(error).__name__, error))
            )
        ) from None
    return ray


def _one_line(text):
    return " ".join(str(text).split())[:300]


def _refuse_silent(address):
    """Refusal, at once, for a host:port where nothing listens: Ray would try for long."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise Refusal(
            "--cluster {}: nothing answers there ({}): start the cluster (`ray start --head`), or mend the "
            "address".format(address, error)
        ) from None


def _variables():
    """The environment of every process of the cluster: what changes results, and where our code is."""
    found = {name: value for name, value in os.environ.items() if name.startswith(HANDED_ON)}
    found = {name: value for name, value in found.items() if name not in KEPT_HERE}
    found.setdefault("OMP_NUM_THREADS", str(_threads()))
    before = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    found["PYTHONPATH"] = os.pathsep.join(import_folders() + before)
    return found


def _threads():
    """Threads of numerical work in this process."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return torch.get_num_threads()
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


def _packed(make_worker):
    from ray import cloudpickle

    return cloudpickle.dumps(make_worker)


def _job(folder, gpu):
    token = uuid.uuid4().hex
    with replacing(os.path.join(folder, TOKEN), "w") as file:
        file.write(token)
    return Job(token, os.getcwd(), folder, loaded_code(), _threads(), gpu)


@contextlib.contextmanager
def _job_folder():
    """A new folder of a job, locked until it is removed at the end; those of this host whose process was
    killed, so that nobody has them locked, are removed too."""
    host = socket.gethostname()
    os.makedirs(JOBS, exist_ok=True)
    for name in os.listdir(JOBS):
        if name.rsplit(".", 2)[0] == host:
            _remove_if_left(os.path.join(JOBS, name))
    folder, lock = _locked_folder(host)
    try:
        yield folder
    finally:
        lock.close()
        shutil.rmtree(folder, ignore_errors=True)


def _locked_folder(host):
    """(a new folder of a job, its LOCK as an open file)."""
    while True:
        folder = os.path.join(JOBS, "{}.{}.{}".format(host, os.getpid(), uuid.uuid4().hex[:8]))
        os.makedirs(folder)
        lock = open(os.path.join(folder, LOCK), "w+b")
        with contextlib.suppress(OSError):  # no locks here: then nobody removes it
            fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(lock.name):
            return folder, lock
        lock.close()  # taken for one that was left, before it was locked


def _remove_if_left(folder):
    """Remove a job's folder unless its process, maybe one of another container, has it locked."""
    with contextlib.suppress(OSError):  # locked, removed meanwhile, without a lock yet, or no locks here
        with open(os.path.join(folder, LOCK), "r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)  # network storage keeps an open file


def _remove_temporaries(folders, job_folder):
    """Remove the temporary files below `folders` of the processes of a job: its units have ended, so
    they are of processes that died. Others may be at work there, and keep theirs: those of another process
    id, and of `atomic.replacing` those that are locked."""
    processes = tuple(
        ".tmp-" + name.split("-")[1] for name in os.listdir(job_folder) if name.startswith(PROCESS)
    )
    for folder in folders if processes else ():
        for place, _, names in os.walk(str(folder)):
            for name in names:
                path = os.path.join(place, name)
                if name.endswith(processes):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path)
                elif WRITTEN.search(name):
                    _unlink_unlocked(path)


def _unlink_unlocked(path):
    with contextlib.suppress(OSError):  # locked, renamed meanwhile, another user's, or no locks here
        with open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)


def _check_nodes(ray, packed, job, needs):
    """Refusal unless every living node that can do a unit sees the job's folder and would run this code."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    fit = [node for node in ray.nodes() if needs.units_at_once([node])]
    if not fit:
        raise Refusal(
            "--cluster: no node has {} processors{}: start nodes that have".format(
                needs.cpus, " and a GPU" if needs.gpu else ""
            )
        )
    ask = ray.remote(cluster_worker.report_fitness)
    asked = [
        (
            node,
            ask.options(
                num_cpus=0,
                max_retries=2,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            ).remote(packed),
        )
        for node in fit
    ]
    for node, answer in asked:
        why = _objection(ray, node, answer, job.folder)
        if why is not None:
            raise Refusal("--cluster: {}".format(why))


def _objection(ray, node, answer, folder):
    """Why a node is not fit, from what it `answer`ed and left in the job's folder; None where it is, or has
    died."""
    name = "{} (node {})".format(node["NodeManagerAddress"], node["NodeID"][:8])
    try:
        why = ray.get(answer, timeout=ANSWER_SECONDS)
    except ray.exceptions.GetTimeoutError:
        return "{} has not answered for {} s: look at its log, or stop it".format(name, ANSWER_SECONDS)
    except ray.exceptions.RayError as error:
        if not _lives(ray, node):
            return None
        return (
            "{} cannot run the project's code ({}): give every node the same project and environment".format(
                name, _one_line(str(error).strip().splitlines()[-1])
            )
        )
    if why is None and not _seen(os.path.join(folder, "seen-" + node["NodeID"])):
        return "what {} writes to {} is not seen here: put the project on storage that every node has".format(
            name, os.path.abspath(folder)
        )
    return why


def _lives(ray, node):
    """Whether a node that gave no answer is there at all: Ray notices late that one has died."""
    end = time.monotonic() + SEEN_SECONDS
    while time.monotonic() < end:
        alive = [found["NodeID"] for found in ray.nodes() if found["Alive"]]
        if node["NodeID"] not in alive:
            return False
        time.sleep(0.5)
    return True


def _seen(path):
    end = time.monotonic() + SEEN_SECONDS
    while not os.path.exists(path):
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def _in_order(ray, submit, units, needs, folder):
    """Yield the results of `units`; two for each that the cluster does at a time are under way at most."""
    waiting, left = collections.deque(), collections.deque(enumerate(units))
    room = _Room(ray, needs)
    try:
        while left or waiting:
            while left and len(waiting) < 2 * room.units():
                number, unit = left.popleft()
                waiting.append((number, submit(unit)))
            if not waiting:
                time.sleep(1)
            elif ray.wait([waiting[0][1]], timeout=LOOK_SECONDS)[0]:
                number, reference = waiting[0]
                result = _result(ray, reference, number, len(units))
                waiting.popleft()
                del reference
                yield result
    except KeyboardInterrupt:
        print("encore: interrupted: waiting for what is in work", file=sys.stderr, flush=True)
        raise
    finally:
        _end(ray, [reference for _, reference in waiting], folder)


class _Room:
    """How many units the cluster does at a time, looked at now and then: nodes come and go."""

    def __init__(self, ray, needs):
        self._ray, self._needs = ray, needs
        self._count, self._at = None, 0.0

    def units(self):
        now = time.monotonic()
        if self._count is None or now - self._at > LOOK_SECONDS:
            found = self._needs.units_at_once(self._ray.nodes())
            if not found and self._count != 0:
                print("encore: the cluster has no node left that fits: waiting for one", file=sys.stderr)
            self._count, self._at = found, now
        return self._count


def _result(ray, reference, number, count):
    try:
        packed = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Exception):
            raise error.cause from error
        raise
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
        raise Refusal(
            "--cluster: unit {} of {} has died {} times with its process ({}): look at the memory of the "
            "nodes, or run without --cluster".format(number + 1, count, RETRIES + 1, type(error).__name__)
        ) from None
    traffic.add(len(packed))
    kind, value = pickle.loads(packed)
    if kind == REFUSED:
        raise Refusal(value)
    return value


def _end(ray, references, folder):
    """End units that nobody waits for: without the job's TOKEN none begins any more, and those under way may
    end by themselves; then their processes are killed.

    Nothing is cancelled before that: where a unit's answer crosses `ray.cancel`, Ray ends the process that
    asked ("Tried to complete task that was not pending": 7 of 100 runs ended by Ctrl-C, Ray 2.60;
    ray-project/ray#54798).
    """
    if not references or not ray.is_initialized():
        return
    with contextlib.suppress(OSError):  # storage that is gone: they are killed
        os.unlink(os.path.join(folder, TOKEN))
    running = references
    try:
        _, running = ray.wait(references, num_returns=len(references), timeout=END_SECONDS)
    finally:  # after a second Ctrl-C at once
        for reference in reversed(running):  # those that wait for a process first: no room for them is made
            ray.cancel(reference, force=True)
        if running:
            ray.wait(running, num_returns=len(running), timeout=END_SECONDS)
