"""What the stages of a size run, read and make, as DVC resolves them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Planned:
    """One stage of a pipeline: its name, the words of its command after the interpreter's, what it reads of
    earlier stages and what it makes (paths in the size's folder), and the names of the stages before it.

    `records` are those of the outputs that tell of one run alone (fingerprints, with times): not compared.
    """

    name: str
    command: tuple[str, ...]
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    after: tuple[str, ...]

    @classmethod
    def of(cls, row):
        """The stage that `row` describes, a mapping from JSON."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()})

    @property
    def system(self):
        """The package that the stage's module is in: its system; `checks` for the checks of the data."""
        return self.module.split(".")[-2 if "." in self.module else 0]

    @property
    def module(self):
        """The module that the command runs (`python -m MODULE`)."""
        return self.command[self.command.index("-m") + 1]

    @property
    def arguments(self):
        """The words of the command after the module."""
        return self.command[self.command.index("-m") + 2 :]

    @property
    def compared(self):
        """The outputs that two runs share bit for bit."""
        return tuple(path for path in self.makes if not path.startswith("fingerprints/"))


def read_plan(folder):
    """{name: Planned} of the size in `folder`, each after those that it reads from.

    DVC is asked in a process of its own: it keeps threads and locks, and what forks runs must have none.
    """
    text = subprocess.run(
        [sys.executable, "-m", "faults.kill.plan_by_dvc", str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    return {row["name"]: Planned.of(row) for row in json.loads(text)}
