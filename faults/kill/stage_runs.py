"""Runs of one stage in its place, and the checks after each of them."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from dataclasses import dataclass

from faults.kill import inside
from faults.kill.forked import Forked, survivors
from faults.kill.place import Place

SECONDS = 300.0
"""A run that takes longer has not ended: it hangs."""


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit status (None: it hung and was killed), what it printed, what of it stayed
    alive."""

    status: int | None
    text: str
    alive: tuple[str, ...]
    seconds: float


class StageRuns:
    """Starts the stage of `place`; `arguments` are further ones for each run."""

    def __init__(self, place: Place, arguments=()):
        self.place, self.arguments = place, tuple(arguments)

    def start(self, armed=None):
        """A Forked run; armed: called inside it before the stage."""

        def before():
            os.environ["TMPDIR"] = str(self.place.temporary)
            tempfile.tempdir = None
            if armed is not None:
                armed()

        planned = self.place.planned
        return Forked(planned.module, planned.arguments + self.arguments, self.place.folder, before)

    def run(self, armed=None, during=None):
        """One run to its end -> Ended; during: called with the Forked while it goes."""
        run = self.start(armed)
        if during is not None:
            during(run)
        return self.end(run)

    def end(self, run):
        """Wait for a Forked run -> Ended."""
        status = run.wait(SECONDS)
        if status is None:
            run.signal(signal.SIGKILL, group=True)
            run.wait(SECONDS)
        return self.ended(run, status)

    def ended(self, run, status):
        """The Ended of a Forked run whose `wait` has returned `status`."""
        seconds = time.perf_counter() - run.began
        return Ended(status, run.text, tuple(survivors()), seconds)

    def recorded(self):
        """A whole run from the start -> ([Seen], seconds); RuntimeError when it is not like the reference."""
        with tempfile.TemporaryFile() as file:
            ended = self.run(lambda: inside.record(self.place.folder, file.fileno()))
            file.seek(0)
            seen = inside.read_record(file.read().decode())
        problems = self.completed_problems(ended)
        if problems:
            raise RuntimeError(f"{self.place.planned.name}: a run without faults: {'; '.join(problems)}")
        return seen, ended.seconds

    def completed_problems(self, ended):
        """What is wrong after a run that should have ended well: texts."""
        if ended.status != 0:
            said = ended.text.strip().splitlines()
            return [f"the undisturbed run afterwards ended with status {ended.status}: {said[-1:]}"]
        found = self.place.unlike_reference() + self.place.leftovers()
        return found + [f"{text} is alive after the end" for text in ended.alive]

    def hit_problems(self, ended):
        """What is wrong after a run that a fault has ended, besides how it ended: texts."""
        return self.place.half_visible() + [f"{text} is alive after the fault" for text in ended.alive]
