"""Two machines, simulated by network namespaces: a process on each, and the line between them cut.

From a machine that is cut off nothing comes any more, no refusal either. A run ends then within the timeout
that ENCORE_PROCESS_TIMEOUT states, and the same commands end it in the bits of one process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from faults.checkpoint_content import differences
from faults.fault import Row
from faults.judged import judged
from faults.processes import tiny_isc
from faults.processes.isc import left_of_isc
from faults.processes.launched import Launched

PLACE = "isc_track2_train"
SHARED = "2 machines, 1 process each"
CUT = "2 machines, cut off from each other, then started again"
TIMEOUT = 6.0
"""Seconds, of ENCORE_PROCESS_TIMEOUT."""
SLACK = 30.0
"""Seconds that a launcher and Python may take to end after it."""
NETWORK = "10.213.77"
PORT = 29500


class NotAllowed(Exception):
    """This machine does not allow namespaces; says why."""


class TwoHosts:
    """Two network namespaces with a line between them; used as a context manager. Raises NotAllowed."""

    def __enter__(self):
        self.names = [f"encore-{os.getpid()}-{number}" for number in range(2)]
        if shutil.which("ip") is None:
            raise NotAllowed("there is no program ip (iproute2)")
        try:
            for name in self.names:
                _ip("netns", "add", name)
            first, second = self.names
            other = ("peer", "name", "line", "netns", second)
            _ip("link", "add", "line", "netns", first, "type", "veth", *other)
            for number, name in enumerate(self.names):
                _ip("-n", name, "address", "add", f"{NETWORK}.{number + 1}/24", "dev", "line")
                _ip("-n", name, "link", "set", "lo", "up")
                _ip("-n", name, "link", "set", "line", "up")
        except subprocess.CalledProcessError as error:
            self.__exit__()
            raise NotAllowed("network namespaces: " + " ".join(error.stderr.split())) from error
        return self

    def __exit__(self, *_):
        for name in self.names:
            with contextlib.suppress(subprocess.CalledProcessError):  # it was not made
                _ip("netns", "delete", name)

    def cut(self):
        """Take the line away."""
        _ip("-n", self.names[0], "link", "set", "line", "down")

    def mend(self):
        """Bring the line back."""
        _ip("-n", self.names[0], "link", "set", "line", "up")

    def start(self, folder):
        """Start the stage by torchrun with a process on each host -> two Launched. They share `folder`."""
        runs = []
        for number, name in enumerate(self.names):
            words = ("torch.distributed.run", "--nnodes", "2", "--node_rank", str(number))
            words += ("--nproc_per_node", "1")
            words += ("--master_addr", f"{NETWORK}.1", "--master_port", str(PORT), "--max_restarts", "0")
            runs.append(
                Launched(
                    folder,
                    tiny_isc.MODULE,
                    launcher=words,
                    prefix=("ip", "netns", "exec", name),
                    GLOO_SOCKET_IFNAME="line",
                    ENCORE_PROCESS_TIMEOUT=f"{TIMEOUT:g}",
                )
            )
        return runs


def rows(full):
    """Yield the Rows; full alone: each start takes some seconds."""
    if full:
        yield from host_rows()


def host_rows(kinds=(SHARED, CUT)):
    """Yield a Row for each of `kinds`; skipped ones where this machine has no namespaces."""
    with tempfile.TemporaryDirectory() as place:
        expected = Path(place) / "alone"
        for kind in kinds:
            try:
                with TwoHosts() as hosts:
                    folder = Path(place) / str(kinds.index(kind))
                    yield _row(kind, hosts, folder, expected)
            except NotAllowed as why:
                yield Row("processes", PLACE, kind, 0, 0, 0.0, (), str(why))


def _row(kind, hosts, folder, expected):
    waited = []
    inject = _cut_losses if kind == CUT else _shared_losses
    return judged(
        "processes",
        PLACE,
        kind,
        lambda: inject(hosts, folder, expected, waited),
        figures=lambda: [("seconds until both machines have ended", seconds) for seconds in waited],
    )


def _shared_losses(hosts, folder, expected, waited):
    """Run on both hosts to the end -> texts of what was lost."""
    _build(folder)
    found = _ended_well(hosts.start(str(folder)))
    return found or _differences(folder, expected)


def _cut_losses(hosts, folder, expected, waited):
    """Cut the line within the first epoch, wait, mend it and start again -> texts of what was lost."""
    _build(folder)
    runs = hosts.start(str(folder))
    if not runs[0].wait_for(tiny_isc.WORK + "/work_*"):
        return [f"no state was written: {run.finish(1)}" for run in runs]
    hosts.cut()
    began = time.monotonic()
    found = []
    for number, run in enumerate(runs):
        status, said = run.finish(TIMEOUT + SLACK)
        if not status:
            found.append(f"machine {number}: status {status} after the cut: {said[-300:]}")
        elif "another process of this run has ended or cannot be reached" not in said:
            found.append(f"machine {number} does not say in one line what happened: {said[-300:]}")
        found += [f"machine {number} still runs {command}" for command in run.left()]
    waited.append(round(time.monotonic() - began, 1))
    hosts.mend()
    found += _ended_well(hosts.start(str(folder)))
    return found or _differences(folder, expected)


def _build(folder):
    tiny_isc.build(str(folder), iterations=40)


def _ended_well(runs):
    ends = [run.finish() for run in runs]
    return [
        f"machine {number}: status {status}: {said[-300:]}"
        for number, (status, said) in enumerate(ends)
        if status != 0
    ]


def _differences(folder, expected):
    """Where the result in `folder` differs from that of one process, which is made in `expected` at first."""
    if not expected.exists():
        _build(expected)
        status, said = Launched(str(expected), tiny_isc.MODULE).finish()
        if status:
            return [f"one process: status {status}: {said[-300:]}"]
    return differences(left_of_isc(folder), left_of_isc(expected))[:3]


def _ip(*words):
    subprocess.run(["ip", *words], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
