"""Faults that need a run, or a file system, of their own: each function injects one and says what was lost
by it."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from faults.kill import inside, mounts
from faults.kill.forked import children
from faults.kill.injection import (
    DISK_FULL_TMPFS,
    READ_ONLY_MOUNT,
    SHARED_FULL,
    WORKER,
    refusal_problems,
    wrong_ending,
)
from faults.kill.stage_runs import SECONDS, StageRuns

YEAR = 365.25 * 86400
SHARED_MEMORY = "/dev/shm"


class NotReached(Exception):
    """The run was over before the fault could hit it."""


@dataclass(frozen=True)
class Bench:
    """One stage to inject into: its runs, the events of a whole one ([Seen]) and its seconds, random
    numbers."""

    runs: StageRuns
    seen: list
    seconds: float
    rng: random.Random

    @property
    def place(self):
        return self.runs.place

    @property
    def is_locked(self):
        """Whether the stage has a lock; the checks of the data have none."""
        return self.place.planned.system != "checks"

    def event(self, keep=lambda row: True):
        """One of the events that the main process made and `keep` says yes to."""
        chosen = [row.event for row in self.seen if row.is_main and keep(row)]
        return self.rng.choice(chosen)

    def hit(self, kind, ended):
        """What is wrong after a run that the fault has ended: texts."""
        return wrong_ending(kind, ended.status, ended.text, self.place.planned) + self.runs.hit_problems(
            ended
        )

    def missed(self, ended):
        """What is wrong after a run that went on to its end, since the fault came too late for it or changed
        nothing: texts; NotReached when all is right."""
        problems = self.runs.completed_problems(ended)
        if not problems:
            raise NotReached
        return problems

    def completed(self):
        """Let a run end well -> what is wrong then: texts."""
        return self.runs.completed_problems(self.runs.run())


def kill_worker(bench):
    """SIGKILL to one of the worker processes, as for lack of memory."""
    bench.place.begin_again()
    run = bench.runs.start()
    killed = _kill_child(run, bench.rng.choice((0, bench.rng.uniform(0, bench.seconds / 2))), bench.rng)
    ended = bench.runs.end(run)
    if not killed or ended.status == 0:
        return bench.missed(ended)
    return bench.hit(WORKER, ended) + bench.completed()


def _kill_child(run, wait, rng):
    """Wait for worker processes, and then `wait` seconds; returns whether there was one to kill."""
    end = None
    while run.goes_on():
        found = [child for child in children(run.pid) if _is_worker(child, run.pid)]
        if found and end is None:
            end = time.perf_counter() + wait
        if found and time.perf_counter() >= end:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(found), signal.SIGKILL)
                return True
    return False


def _is_worker(pid, parent):
    """Whether a process is a fork of its parent, and no program that it has started."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes() == Path(f"/proc/{parent}/cmdline").read_bytes()
    return False


def jump_clock(bench):
    """The clock jumps by years while a run goes, which is killed; the next one has another time again, and
    all files are from the future, or from 1970."""
    bench.place.begin_again()
    offsets = [bench.rng.choice((-55, -20, -1 / 8766, 1 / 8766, 10, 60)) * YEAR for _ in bench.seen]
    kill = bench.event()
    folder = bench.place.folder

    def first():
        inside.jump_clock(folder, offsets)
        inside.at(folder, kill, inside.kill_run(signal.SIGKILL))

    ended = bench.runs.run(first)
    if ended.status == 0:
        return bench.runs.completed_problems(ended)
    problems = [] if ended.status == -signal.SIGKILL else [f"status {ended.status}: {ended.text[-300:]!r}"]
    problems += bench.runs.hit_problems(ended)
    _date_files(folder, bench.rng)
    offsets.reverse()
    return problems + bench.runs.completed_problems(
        bench.runs.run(lambda: inside.jump_clock(folder, offsets))
    )


def _date_files(folder, rng):
    for parent, _, names in os.walk(folder):
        for name in names:
            when = rng.choice((86400, time.time() + 70 * YEAR))
            os.utime(os.path.join(parent, name), (when, when), follow_symlinks=False)


def fill_disk(bench):
    """The disk, a small file system of its own, is full from some point on; room is made before the next run.
    The place of `bench` lies on it."""
    disk = bench.place.folder.parent

    def needs_room(row):
        return row.event.what not in inside.FREEING

    bench.place.begin_again()
    event = bench.event(needs_room)
    ended = bench.runs.run(lambda: inside.at(bench.place.folder, event, lambda: mounts.fill(disk)))
    (disk / "ballast").unlink(missing_ok=True)
    if ended.status == 0:
        return bench.missed(ended)
    return bench.hit(DISK_FULL_TMPFS, ended) + bench.completed()


def fill_shared_memory(bench):
    """/dev/shm is full, from the start or as soon as the first worker process is there. A run that does not
    need more of it goes on."""
    bench.place.begin_again()
    ballast = Path(SHARED_MEMORY, "ballast")
    if bench.rng.random() < 0.5:
        mounts.fill(SHARED_MEMORY)
        ended = bench.runs.run()
    else:
        ended = bench.runs.run(
            lambda: os.register_at_fork(after_in_parent=lambda: mounts.fill(SHARED_MEMORY))
        )
    if not ballast.exists():
        raise NotReached
    ballast.unlink()
    if ended.status == 0:
        return bench.runs.completed_problems(ended)
    return bench.hit(SHARED_FULL, ended) + bench.completed()


def mount_read_only(bench):
    """The folder of the run is on a read-only file system, and then no more."""
    bench.place.begin_again()
    with mounts.read_only(bench.place.folder):
        ended = bench.runs.run()
    return bench.hit(READ_ONLY_MOUNT, ended) + bench.completed()


def run_twice(bench):
    """A second run while the first one is under way: refused, with the number of the first one's process.
    (Checks of the data have no lock: both end well.)"""
    bench.place.begin_again()
    event = bench.event(lambda row: row.event in _while_locked(bench.seen))
    first = bench.runs.start(
        lambda: inside.at(bench.place.folder, event, lambda: os.kill(os.getpid(), signal.SIGSTOP))
    )
    while _state(first.pid) not in "TZ":
        time.sleep(0.002)
    if _state(first.pid) == "Z":
        return bench.missed(bench.runs.end(first))
    second = bench.runs.start()
    status = second.wait(SECONDS)
    os.kill(first.pid, signal.SIGCONT)
    problems = bench.runs.completed_problems(bench.runs.end(first))
    if bench.is_locked:
        problems += refusal_problems(status, second.text, rf"process {first.pid} is running this stage")
    elif status != 0:
        problems.append(f"the second run ended with status {status}: {second.text[-200:]!r}")
    return problems


def _while_locked(seen):
    """The events between the lock and the fingerprint, the last record of a run; without a lock all."""
    paths = [row.event.path for row in seen]
    locked = [place for place, path in enumerate(paths) if path.endswith("/lock")]
    ending = [place for place, path in enumerate(paths) if path.startswith("fingerprints")]
    span = slice(locked[0] + 2, ending[0] + 1) if locked and ending else slice(None)
    return {row.event for row in seen[span]}


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESRCH):
            raise
        return "Z"
