"""What is armed inside the process of a run: its events of the file system, and a fault at one of them."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import sys
from typing import NamedTuple

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")
FREEING = ("os.remove", "os.rmdir", "os.rename", "os.truncate")
"""What a full disk still allows."""
OF_ONE_PROCESS = re.compile(r"(\.tmp-|\.replaced-|events\.out\.tfevents\.)\d[\w.-]*")


class Event(NamedTuple):
    """The `number`-th time (from 1) that a run does `what` to `path`, relative to its folder."""

    what: str
    path: str
    number: int


class Seen(NamedTuple):
    """An Event of a whole run: whether the main process did it, and the bytes of the file that it opened in
    the end (None: not known)."""

    event: Event
    is_main: bool
    size: int | None = None


class Watch:
    """Calls `act(event, source)` before each change that this process, or a fork of it, makes below
    `folder`; source: what is renamed, else the path itself, as the program names it.

    An error that `act` raises is raised where the change is asked for, as the kernel's would be.
    """

    def __init__(self, folder, act):
        self._folder, self._act, self._counts, self._acting = os.path.realpath(folder), act, {}, False
        sys.addaudithook(self._hook)

    def _hook(self, name, arguments):
        if self._acting or not (name == "open" or name in CHANGES):
            return
        if name == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING):
            return
        self._acting = True
        try:
            if name == "os.mkdir" and os.path.isdir(arguments[0]):
                return  # no change: the kernel says that it is there, also where the disk is full
            path = self._relative(*_place(name, arguments))
            if path is not None:
                key = name, path
                self._counts[key] = self._counts.get(key, 0) + 1
                self._act(Event(name, path, self._counts[key]), arguments[0])
        finally:
            self._acting = False

    def _relative(self, place, parent=-1):
        """The path below the folder, None for one elsewhere; parent: descriptor of the folder that it
        counts from."""
        if not isinstance(place, (str, bytes, os.PathLike)):
            return None
        start = os.getcwd() if parent < 0 else os.readlink(f"/proc/self/fd/{parent}")
        path = os.path.join(start, os.fsdecode(place))
        head, tail = os.path.split(os.path.normpath(path))
        path = os.path.join(os.path.realpath(head), tail)
        if not path.startswith(self._folder + os.sep):
            return None
        return OF_ONE_PROCESS.sub(r"\1N", path[len(self._folder) + 1 :])


def _place(name, arguments):
    """(path, descriptor of its parent or -1) of an audited change, as Python's table of audit events has
    them."""
    if name == "open":
        return arguments[0], -1
    if name == "os.rename":
        return arguments[1], arguments[3]
    return arguments[0], arguments[-1] if name in ("os.remove", "os.rmdir", "os.mkdir") else -1


def record(folder, descriptor):
    """Write every event as a line of JSON to `descriptor`, and each fork of this process as the event
    "fork"."""
    main = os.getpid()

    def forked():
        os.write(descriptor, (json.dumps(["fork", "", 1, False, None]) + "\n").encode())

    os.register_at_fork(after_in_child=forked)

    def act(event, source):
        size = os.path.getsize(source) if event.what == "os.rename" and os.path.isfile(source) else None
        os.write(descriptor, (json.dumps([*event, os.getpid() == main, size]) + "\n").encode())

    Watch(folder, act)


def read_record(text):
    """[Seen] of what `record` wrote; a file gets the size that it had when it was renamed away."""
    rows = [json.loads(line) for line in text.splitlines()]
    sizes = {path: size for what, path, _, _, size in rows if size is not None}
    return [
        Seen(
            Event(what, path, number), is_main, sizes.get(path.split(".tmp-")[0]) if what == "open" else None
        )
        for what, path, number, is_main, _ in rows
    ]


def at(folder, event, act):
    """Call `act()` before `event` of the run."""
    Watch(folder, lambda found, _: act() if found == event else None)


def kill_run(number):
    """An act: send the signal to the main process, as from outside, and let this one not go on meanwhile."""
    main = os.getpid()

    def act():
        os.kill(main, number)
        if os.getpid() != main:
            signal.pause()

    return act


def interrupt_group():
    """An act: what Ctrl-C does to the process group of the run."""
    group = os.getpid()
    return lambda: os.killpg(group, signal.SIGINT)


def limit_file(size, deadly):
    """An act: no file of this process may grow past `size` bytes from now on: the kernel ends the process in
    the middle of that write (deadly), or fails it."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if deadly else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))

    def act():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    return act


def fail_from(folder, event, number):
    """From `event` on (None: from the start), fail changes with the error `number`: all of them on a
    read-only file system, on a full disk those that need room."""
    failing = event is None

    def act(found, _):
        nonlocal failing
        failing = failing or found == event
        if failing and not (number == errno.ENOSPC and found.what in FREEING):
            raise OSError(number, os.strerror(number), found.path)

    Watch(folder, act)


def jump_clock(folder, offsets):
    """Let the clock jump by the next of `offsets` (seconds) at each event of the file system."""
    import datetime
    import time

    state = {"offset": 0.0, "left": list(offsets)}

    def act(*_):
        if state["left"]:
            state["offset"] = state["left"].pop(0)

    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + state["offset"]
    time.time_ns = lambda: now_ns() + int(state["offset"]) * 10**9
    for name in ("localtime", "gmtime"):
        setattr(time, name, _jumped(getattr(time, name)))
    datetime.datetime = _jumping_datetime(datetime.datetime)
    Watch(folder, act)


def _jumped(function):
    import time

    return lambda seconds=None: function(time.time() if seconds is None else seconds)


def _jumping_datetime(real):
    import time

    class Jumping(real):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(time.time(), tz)

        @classmethod
        def utcnow(cls):
            return cls.utcfromtimestamp(time.time())

    return Jumping
