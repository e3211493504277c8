"""Map-shaped work on a real Ray cluster on the loopback interface loses nothing and changes nothing.

Three nodes, each with a raylet and processes of its own, and a head without processors. Proven of each fault:

| fault | what is found afterwards |
|---|---|
| same digest on 3 nodes | the files of the run on the cluster are those of a run in one process |
| node killed | a node's raylet and processes end by SIGKILL in the middle: the run ends well, same files |
| worker killed | one process of a unit ends so, as when a node runs out of memory: the same |
| driver killed | the process that asked ends so: no unit goes on; the next run keeps what is finished |
| begun here, killed | a run in one process is killed and started again on the cluster: the same |
| interrupted | Ctrl-C, ten times: one line, exit status 130, no unit goes on, no temporary file |
| interrupted, long units | the same where units take minutes: their processes are killed |
| unit raises | one line that says what, exit status 2, no traceback |
| unit kills its process | each time: one line naming the unit, exit status 2, no endless repetition |
| large result | a unit that returns more than a small record is refused: data goes through files |
| flat memory | many tiny units: the process that asked does not grow with their number |
| half of the nodes blind, or with other code | refused by name before the first unit |
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

from faults.fault import Row

SUITE = "cluster"


def rows(full):
    """Yield the Rows; the short form has two of them, in half a minute."""
    if importlib.util.find_spec("ray") is None:
        yield Row(
            SUITE, "all stages that map", "all", 0, 0, 0.0, skipped="Ray is not installed: locks/faults.txt"
        )
        return
    from faults.cluster.injections import Injections
    from faults.cluster.loopback import LoopbackCluster

    with tempfile.TemporaryDirectory(prefix="encore-cluster-") as folder:
        with LoopbackCluster(nodes=3) as cluster:
            injections = Injections(cluster, Path(folder))
            yield from injections.full() if full else injections.short()
