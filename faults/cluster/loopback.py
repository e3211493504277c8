"""A Ray cluster of several nodes on this machine: nothing listens beyond the loopback interface."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

LOOPBACK = "127.0.0.1"
STORE_BYTES = 80 << 20
"""Of each node's object store; Ray wants 75 MiB at least."""
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""No call home; and with the second, Ray takes the loopback address for that of this machine."""
UNIT = "ray::do_unit"
"""What a process is called while it does a unit."""


class LoopbackCluster:
    """`nodes` nodes with one processor each, and a head without: the process that asks belongs to the head.

    Used as a context manager; `address` is what `--cluster` takes.
    """

    def __init__(self, nodes=3):
        self._count, self._nodes = nodes, []

    def __enter__(self):
        os.environ.update(ENVIRONMENT)
        from ray.cluster_utils import Cluster

        common = {"node_ip_address": LOOPBACK, "object_store_memory": STORE_BYTES}
        self._common = dict(common, num_cpus=1, num_gpus=0)
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args=dict(common, num_cpus=0, num_gpus=0, include_dashboard=False),
        )
        self.address = self._cluster.address
        for _ in range(self._count):
            self.add()
        return self

    def __exit__(self, *error):
        self._cluster.shutdown()

    def add(self):
        """Start one more node."""
        self._nodes.append(self._cluster.add_node(**self._common))

    def raylets(self):
        """The process ids of the living nodes' raylets, without the head's."""
        return [node.all_processes["raylet"][0].process.pid for node in self._nodes]

    def kill_busy_node(self):
        """Kill the raylet of a node that does a unit, and all its processes -> whether one did."""
        for node, raylet in zip(list(self._nodes), self.raylets()):
            workers = children(raylet)
            if any(is_unit(pid) for pid in workers):
                for pid in [raylet, *workers]:
                    with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                        os.kill(pid, signal.SIGKILL)
                self._nodes.remove(node)
                self._cluster.remove_node(node, allow_graceful=False)
                return True
        return False

    def units(self):
        """The process ids that are doing a unit on any node."""
        return [pid for raylet in self.raylets() for pid in children(raylet) if is_unit(pid)]

    def idle(self, seconds=20.0):
        """Whether no unit is under way any more, waiting `seconds` at most."""
        return none_within(self.units, seconds)


def none_within(find, seconds):
    """Whether find() is empty at some moment of the next `seconds`."""
    end = time.monotonic() + seconds
    while find():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def strays():
    """Process ids of what processes of units started, and which outlived them: no node has them any more.

    They would keep the connections of the dead process open, and who waits for its answer would wait on.
    """
    return [pid for pid in processes() if is_unit(pid) and not any(map(is_node, ancestors(pid)))]


def ancestors(pid):
    """Process ids of the parent of `pid`, of its parent, and so on; as far as they have not ended."""
    found = []
    while pid:
        try:
            pid = parent(pid)
        except (FileNotFoundError, ProcessLookupError):
            return found
        found.append(pid)
    return found


def children(of):
    """Process ids whose parent is `of`."""
    found = []
    for pid in processes():
        try:
            if parent(pid) == of:
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def processes():
    """All process ids of this machine."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def parent(pid):
    """Process id of the parent of `pid`; raises FileNotFoundError or ProcessLookupError when it has ended."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_unit(pid):
    """Whether a process is doing a unit now, as Ray names it, or was started by one that is."""
    return command(pid).startswith(UNIT)


def is_node(pid):
    """Whether a process is the raylet of a node."""
    return os.path.basename(command(pid).split("\0")[0]) == "raylet"


def command(pid):
    """The arguments of a process, each ended by a zero character; empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
