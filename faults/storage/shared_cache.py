"""Two users, one DVC cache: both run the same stages at once, one is killed, one collects garbage."""

from __future__ import annotations

import grp
import os
import shutil
import signal
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from encore.runtime.refusal import Refusal
from faults.fault import Row
from faults.storage.tiny_pipeline import (
    STAGES,
    TinyPipeline,
    cache_problems,
    drop_broken_lock,
    ended,
    kill,
    other_users,
)

SUITE, PLACE = "storage", "shared DVC cache"
ATTEMPTS = 5
GC = ("gc", "--workspace", "--force")
REPRO = ("repro", "--no-run-cache")
"""Without the flag dvc looks whether somebody has run the stage before, and removes what it takes for a
broken record: the one that another user is just writing."""


class Pair:
    """Two clones on one cache; `group` is None where both belong to this user."""

    def __init__(self, folder, users=(None, None), group=None):
        self.cache, self.group = folder / "cache", group
        self.cache.mkdir()
        if group:  # as REPRODUCE.md says: chgrp, and new folders keep the group
            os.chown(self.cache, -1, grp.getgrnam(group).gr_gid)
            self.cache.chmod(0o2775)
        names = ("first", "second")
        self.clones = [
            TinyPipeline(folder / name, self.cache, user, group)
            for name, user in zip(names, users, strict=True)
        ]

    def run_at_once(self):
        """Both run all stages from nothing -> what is wrong at their end."""
        running = [clone.start(*REPRO) for clone in self.clones]
        return self.problems_of([ended(process) for process in running])

    def problems_of(self, ends):
        """What is wrong after runs that ended so, which should have ended well."""
        found = [f"status {status}: {' '.join(text.split())[-300:]}" for status, text in ends if status]
        return found + self.problems()

    def problems(self):
        found = [one for clone in self.clones for one in clone.problems()]
        found += [f"{one} is not in the cache" for clone in self.clones for one in clone.missing_objects()]
        return found + cache_problems(self.cache, self.group)


@contextmanager
def pair(users=(None, None), group=None):
    """A new Pair in a folder that every user reaches."""
    folder = Path(tempfile.mkdtemp(prefix="encore-storage-"))
    folder.chmod(0o755)
    try:
        yield Pair(folder, users, group)
    finally:
        shutil.rmtree(folder)


def rows(full):
    """As this user, and where root allows as two; full: each fault several times."""
    yield from _rows_as(full, (None, None), None, PLACE)
    place = PLACE + ", two users"
    try:
        users, group = other_users(2)
    except Refusal as refusal:
        yield Row(SUITE, place, "the same stages at once", 0, 0, 0.0, skipped=str(refusal))
        return
    yield from _rows_as(full, users, group, place)


def _rows_as(full, users, group, place):
    again = 2 if full else 1
    if full or group:  # the short version shows this as two users, where it can
        yield row(place, "the same stages at once", [at_once] * again, users, group)
    if full or not group:
        moments = [(n, delay) for n in range(STAGES) for delay in (0, 0.1)] if full else [(0, 0)]
        yield row(place, "SIGKILL of one", [killed_at(*moment) for moment in moments], users, group)
    if full:
        yield row(place, "gc that names both", [careful_gc] * again, users, group)
        yield row(place, "gc that does not know the other", [careless_gc] * again, users, group)


def row(place, kind, faults, users=(None, None), group=None):
    """Inject each of `faults`, functions of a new Pair that return what was lost, or None where they came too
    late -> a Row."""
    began, losses = time.monotonic(), []
    for fault in faults:
        problems = _injected(fault, users, group)
        if problems:
            losses.append("; ".join(problems[:3]))
    seconds = time.monotonic() - began
    return Row(SUITE, place, kind, len(faults), len(faults) - len(losses), seconds, tuple(losses))


def _injected(fault, users, group):
    for _ in range(ATTEMPTS):
        with pair(users, group) as both:
            problems = fault(both)
        if problems is not None:
            return problems
    return [f"{ATTEMPTS} runs had ended before the fault"]


def at_once(both):
    """Both run the same stages from nothing at the same time."""
    return both.run_at_once()


def killed_at(number, delay):
    """The first is killed when the output of a stage appears, or `delay` seconds later, while it is being
    stored, and earlier where that was too late; the second goes on; the first runs again."""
    wait = delay

    def fault(both):
        nonlocal wait
        running = [clone.start(*REPRO) for clone in both.clones]
        output = both.clones[0].folder / f"out{number}"
        while not output.exists() and running[0].poll() is None:
            time.sleep(0.005)
        time.sleep(wait)
        kill(running[0])
        if running[0].wait() != -signal.SIGKILL:
            wait /= 2
            ended(running[1])
            return None
        second = ended(running[1])
        drop_broken_lock(both.clones[0].folder)
        return both.problems_of([second, ended(both.clones[0].start(*REPRO))])

    return fault


def careful_gc(both):
    """The first collects garbage as documented, naming a copy of the second, which has outputs of its own."""
    problems = both.run_at_once()
    first, second = both.clones
    _change(second)
    second.run("repro")
    status, text = ended(first.start(*GC, "--projects", str(first.copy_of(second))))
    problems += [f"gc: status {status}: {' '.join(text.split())[-300:]}"] if status else []
    return problems + both.problems()


def careless_gc(both):
    """The first collects garbage alone: what only the second uses leaves the cache, stays in its folder, and
    comes back with `dvc commit`."""
    both.run_at_once()
    first, second = both.clones
    _change(second)
    second.run("repro")
    first.run(*GC)
    if not second.missing_objects():
        return ["gc took nothing away: this was no fault"]
    second.run("commit", "--force", "--quiet")
    return both.problems()


def _change(clone):
    """Let a clone's first stage make one file more, which the other does not have."""
    script = clone.folder / "make.py"
    script.write_text(script.read_text() + 'open("out%d/more" % number, "w").write(str(number))\n')
