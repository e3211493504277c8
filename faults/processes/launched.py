"""A stage started by its command line, alone or by a launcher, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0
"""Seconds after which a run counts as one that hangs."""
SECONDS_TO_DIE = 10.0
"""For the processes of a run that has ended."""


class Launched:
    """`python -m MODULE ARGUMENTS` in `folder`, as processes of a session of its own.

    launcher: words between `-m` and the module's own `-m`, those of torchrun or torch.distributed.launch;
    none: the stage alone. prefix: words before the interpreter's. variables: of its environment. python: its
    interpreter.
    """

    def __init__(
        self, folder, module, arguments=(), launcher=(), prefix=(), python=sys.executable, **variables
    ):
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
        }
        environment.update(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="", PYTHONUNBUFFERED="1")
        environment.update(variables, PYTHONPATH=os.pathsep.join([str(ROOT / "src"), str(ROOT)]))
        started = ["-m", *launcher, "-m", module] if launcher else ["-m", module]
        self.folder, self.module = folder, module
        self._said = Path(folder) / f"said-{time.monotonic_ns()}.txt"
        with open(self._said, "wb") as said:
            self.process = subprocess.Popen(
                [*prefix, str(python), *started, *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self):
        """All that its processes have printed so far."""
        return self._said.read_text(encoding="utf-8", errors="replace")

    def finish(self, seconds=PATIENCE):
        """(Exit status, what was said); a run that hangs is ended, and its status is None."""
        try:
            return self.process.wait(seconds), self.said
        except subprocess.TimeoutExpired:
            self.end()
            return None, self.said

    def end(self):
        """Kill all of its processes."""
        for pid in self._session():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def rank(self, number):
        """Process id of rank `number`; None where there is none now."""
        launchers = {b"torch.distributed.run", b"torch.distributed.launch"}
        for pid in self._session():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                is_rank = f"RANK={number}".encode() in words and self.module.encode() in command
                if is_rank and not launchers & set(command):
                    return pid
        return None

    def kill(self, number):
        """Kill the process of rank `number` -> [what is wrong], empty where it was there."""
        pid = self.rank(number)
        if pid is None:
            return [f"rank {number} has ended before it could be killed: {self.said[-200:]}"]
        os.kill(pid, signal.SIGKILL)
        return []

    def wait_for(self, pattern, seconds=PATIENCE):
        """Wait until a file of that name (a glob below the folder) is there -> whether it came."""
        end = time.monotonic() + seconds
        while not list(Path(self.folder).glob(pattern)):
            if self.process.poll() is not None or time.monotonic() > end:
                return False
            time.sleep(0.002)
        return True

    def left(self):
        """Command lines of processes that are there some seconds after the end; they are killed."""
        end = time.monotonic() + SECONDS_TO_DIE
        while self._session() and time.monotonic() < end:
            time.sleep(0.05)
        found = []
        for pid in self._session():
            with contextlib.suppress(OSError):
                found.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:100])
                os.kill(pid, signal.SIGKILL)
        return found

    def _session(self):
        """Process ids of its session; those that have ended do not count."""
        found = []
        for entry in os.scandir("/proc"):
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    fields = Path(entry.path, "stat").read_text().rsplit(")", 1)[1].split()
                    if int(fields[3]) == self.process.pid and fields[0] != "Z":
                        found.append(int(entry.name))
        return found


def torchrun(count):
    """The words for `count` processes of torchrun on this machine."""
    return ("torch.distributed.run", "--standalone", "--nproc_per_node", str(count))


def legacy_launcher(count):
    """The words for `count` processes of torch 1.7.1's launcher, on a port that is free."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    words = ("torch.distributed.launch", "--use_env", "--nproc_per_node", str(count))
    return (*words, "--master_port", str(port))
