"""The faults that are injected at one point of a run, and how the run must end."""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass

from faults.kill import inside

KILLED = "SIGKILL"
IN_WRITE = "SIGKILL inside a write"
WORKER = "worker killed"
TERMINATED = "SIGTERM"
INTERRUPTED = "Ctrl-C"
DISK_FULL = "disk full (new files)"
DISK_FULL_TMPFS = "disk full (tmpfs)"
FILE_LIMIT = "file size limit"
SHARED_FULL = "/dev/shm full"
READ_ONLY = "read-only output (new files)"
READ_ONLY_MOUNT = "read-only output (mount)"
CLOCK = "clock jump"
TWO_RUNS = "two runs at once"

DRAWN = {
    KILLED: 20,
    IN_WRITE: 6,
    TERMINATED: 2,
    INTERRUPTED: 2,
    DISK_FULL: 2,
    FILE_LIMIT: 2,
    READ_ONLY: 1,
}
"""How many of the faults that hit one point of a run are injected into each stage."""

REFUSED = {
    WORKER: r"a worker process .*(killed|ended)",
    DISK_FULL: r"disk is full",
    DISK_FULL_TMPFS: r"disk is full|GB of disk for",
    FILE_LIMIT: r"limit on the size of a file",
    SHARED_FULL: r"shared memory",
    READ_ONLY: r"read-only",
    READ_ONLY_MOUNT: r"read-only",
    INTERRUPTED: r"interrupted; run the same command again",
    TWO_RUNS: r"process \d+ is running this stage already",
}
"""What the one line must say of a fault that a run notices."""
NOISY = (WORKER, SHARED_FULL)
"""Of a worker that is gone, threads of Python and torch in the other workers say something of their own."""

LEAST = 32
"""Bytes that every file may have: semaphores of worker processes are files of that size."""


@dataclass(frozen=True)
class Injection:
    """One fault at one point: before an event of the file system, or some seconds after the start.

    size: bytes of the file of `event` after which a write ends.
    """

    kind: str
    number: int
    event: inside.Event | None = None
    seconds: float | None = None
    size: int | None = None
    position: float = 0.0
    """How far a whole run is by then, 0 to 1."""
    as_dvc: bool = False
    """Whether outputs are removed before the next run, as DVC does, or kept, as for a run by hand."""

    @property
    def text(self):
        """Where it hits, in words."""
        if self.event is None:
            return f"{self.seconds:.3f} s after the start"
        what = f"{self.event.what} {self.event.path} ({self.event.number})"
        return f"after {self.size} bytes of {what}" if self.size is not None else f"at {what}"

    def arm(self, folder) -> Callable[[], None] | None:
        """What is called inside the run, None where the fault comes from outside."""
        if self.event is None:
            return None
        if self.kind in (DISK_FULL, READ_ONLY):
            number = errno.ENOSPC if self.kind == DISK_FULL else errno.EROFS
            return lambda: inside.fail_from(folder, self.event, number)
        return lambda: inside.at(folder, self.event, self._act())

    def _act(self):
        if self.kind in (IN_WRITE, FILE_LIMIT):
            return inside.limit_file(self.size, self.kind == IN_WRITE)
        if self.kind == INTERRUPTED:
            return inside.interrupt_group()
        return inside.kill_run(signal.SIGTERM if self.kind == TERMINATED else signal.SIGKILL)


def wrong_ending(kind, status, text, planned):
    """What is wrong with the end of a run of `planned` that the fault has hit: texts.

    A killed one ends by the signal, without a word; one that notices says so in one line, with status 2.
    After Ctrl-C the status is 130. The checks of the data have 3 for a fault of the machine, and say
    nothing of Ctrl-C.
    """
    if status is None:
        return ["the run did not end"]
    signals = {KILLED: (signal.SIGKILL,), IN_WRITE: (signal.SIGXFSZ,), TERMINATED: (signal.SIGTERM,)}
    if kind in signals and -status in signals[kind]:
        return []
    if kind == IN_WRITE:  # a worker was ended in its write, and the run has noticed
        kind = WORKER
    is_check = planned.system == "checks"
    if kind == INTERRUPTED:
        return [] if is_check and status == 130 else refusal_problems(status, text, REFUSED[kind], 130)
    return refusal_problems(status, text, REFUSED.get(kind), 3 if is_check else 2, kind in NOISY)


def refusal_problems(status, text, pattern, expected=2, noisy=False):
    """What is wrong with a refusal: it must be one line that matches `pattern`, with status `expected`, and,
    unless `noisy`, no traceback beside it. Texts."""
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    if pattern is None or status != expected:
        last = lines[-1][:150] if lines else "nothing printed"
        return [f"ended with status {status}: {last}"]
    said = [line for line in lines if "encore: " in line and "encore: warning: " not in line]
    fitting = [line for line in said if re.search(pattern, line)]
    if len(fitting) != 1 or said[-1] != fitting[0]:
        return [f"expected one line that says '{pattern}', found {len(fitting)}: {' / '.join(said)[:300]}"]
    for sign in () if noisy else ("Traceback (most", "Exception ignored", "Error: "):
        if sign in text.replace(fitting[0], ""):
            place = text.index(sign)
            return [f"besides its line it printed {text[place : place + 200]!r}"]
    return []


def drawn(rng, seen, seconds, wanted, first=0):
    """Injections of the kinds `wanted` ({kind: how many}), numbered from `first`, into a run of which `seen`
    are the events ([Seen]) and which takes `seconds`; a quarter of the SIGKILLs come at any time, all else at
    an event."""
    seen = [row for row in seen if row.event.what != "fork"]
    order = {row.event: place / max(len(seen), 1) for place, row in reversed([*enumerate(seen)])}
    sizes = {row.event: row.size for row in seen if row.event.what == "open"}
    found = []
    for kind, count in wanted.items():
        for place in range(count):
            point = {"number": first + len(found), "as_dvc": rng.random() < 0.5}
            if kind == KILLED and place % 4 == 3:
                at = rng.uniform(0.02, seconds)
                found.append(Injection(kind, seconds=at, position=at / seconds, **point))
                continue
            event = rng.choice(_at(kind, sorted(order)))
            if kind in (IN_WRITE, FILE_LIMIT):
                point["size"] = LEAST + rng.randrange(max((sizes[event] or 0) - LEAST, 8))
            found.append(Injection(kind, event=event, position=order[event], **point))
    return found


def _at(kind, events):
    """The events at which a fault of this kind shows: a full disk has room for what needs none."""
    if kind in (IN_WRITE, FILE_LIMIT):
        return [event for event in events if event.what == "open"]
    return [event for event in events if kind != DISK_FULL or event.what not in inside.FREEING]


def passes(injections, length=10):
    """Divide injections into runs from start to end, each hit by `length` of them at most, one after the
    other."""
    count = -(-len(injections) // length)
    return [sorted(injections[place::count], key=lambda one: one.position) for place in range(count)]
