"""Readings in child processes with limits, watched: what a reader did of one file.

A process of its own has all readers imported and forks a child for each file. The child may take MEMORY more
than it begins with, SECONDS of processor time and WALL seconds in all, and an audit hook sees whatever it
starts, connects to or writes. What is read never runs in the process that asks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

LIMITS = (("HOSTILE_SECONDS", 10), ("HOSTILE_WALL", 30))
MEMORY = 1 << 30
"""Bytes beyond what the process has before it reads."""
SECONDS, WALL = (int(os.environ.get(name, value)) for name, value in LIMITS)
"""Processor time and time in all of one reading; the variables make them shorter for tests."""
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Outcome:
    """What one reading came to."""

    end: str
    """returned, refused, failed (another exception), killed (a signal, or no end in time)."""
    text: str
    """The message of a refusal, the exception, the signal."""
    seconds: float
    """Processor time."""
    memory: int
    """Bytes that it had at most, beyond what it began with."""
    deeds: tuple[str, ...] = ()
    """What the audit hook saw: programs started, connections, files written outside the folder."""


class Isolation:
    """A with block around the process that forks; table: the module whose READERS it knows."""

    def __init__(self, table="faults.hostile.readers"):
        self._table, self._process = table, None

    def __enter__(self):
        environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")
        paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.hostile.forking", self._table],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()

    def read(self, reader, path, memory=MEMORY):
        """The Outcome of `reader` (its name) on the file at `path`."""
        return self._asked(reader=reader, path=os.fsencode(path).decode("latin-1"), memory=memory)

    def mutations(self, reader, folder, examples):
        """The Outcome of hypothesis on a reader, whose text is {"tried", "found"} as JSON; `folder` holds
        its sample and takes the input that it dies of."""
        return self._asked(reader=reader, path=str(folder), memory=MEMORY, examples=examples)

    def _asked(self, **question):
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the process that forks has ended: its message stands above")
        values = json.loads(answer)
        return Outcome(**dict(values, deeds=tuple(values["deeds"])))
