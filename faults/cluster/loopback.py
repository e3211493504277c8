"""A Ray cluster of several nodes on this machine: nothing listens beyond the loopback interface."""

from __future__ import annotations

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
        """Kill the raylet of a node that does a unit, and all its processes; another node takes its place."""
        for node, raylet in zip(list(self._nodes), self.raylets()):
            workers = [pid for pid in children(raylet)]
            if any(is_unit(pid) for pid in workers):
                for pid in [raylet, *workers]:
                    os.kill(pid, signal.SIGKILL)
                self._nodes.remove(node)
                self._cluster.remove_node(node, allow_graceful=False)
                return
        raise RuntimeError("no node is doing a unit: the fault came too late")

    def units(self):
        """The process ids that are doing a unit on any node."""
        return [pid for raylet in self.raylets() for pid in children(raylet) if is_unit(pid)]

    def idle(self, seconds=20.0):
        """Whether no unit is under way any more, waiting `seconds` at most."""
        end = time.monotonic() + seconds
        while self.units():
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True


def children(parent):
    """Process ids whose parent is `parent`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found


def is_unit(pid):
    """Whether a process is doing a unit now, as Ray names it."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(UNIT.encode())
    except (FileNotFoundError, ProcessLookupError):
        return False
