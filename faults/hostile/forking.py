"""The process that forks a child for each reading: started by `isolation`, one JSON line a question."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import select
import signal
import sys
import time
import warnings
from pathlib import Path

from encore.runtime.refusal import Refusal, printable
from faults.hostile.isolation import SECONDS, WALL
from faults.hostile.reading import reading

FUZZING = 120
"""Seconds of processor time, and in all, that a child may take for all its mutations; each has its own limits
(`mutation.timed_reading`)."""
NOT_DUMPABLE = 4, 0
"""For prctl: a child that dies of a signal writes no core file, which takes a minute."""
LARGEST_WRITTEN = 1 << 26
STARTING = ("os.system", "os.exec", "os.posix_spawn", "os.startfile", "subprocess.Popen", "pty.spawn")
STARTING += ("socket.connect", "socket.bind", "ctypes.dlopen")
CHANGING = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate")
CHANGING += ("os.chmod",)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Watch:
    """An audit hook: the deeds that no reader has to do."""

    def __init__(self, folder):
        self.folder, self.deeds = os.path.realpath(folder), []
        sys.addaudithook(self)

    def __call__(self, event, arguments):
        if event.startswith(STARTING):
            self.deeds.append(printable(f"{event} {arguments[:1]!r}", 200))
        elif event in CHANGING or (event == "open" and _writes(arguments)):
            path = arguments[0]
            if isinstance(path, (str, bytes, os.PathLike)) and not self._is_inside(os.fsdecode(path)):
                self.deeds.append(printable(f"{event} {path!r}", 200))

    def _is_inside(self, path):
        return os.path.join(os.path.realpath(path), "").startswith(os.path.join(self.folder, ""))


def _writes(arguments):
    mode, flags = arguments[1:3]
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & WRITING)


def main(table):
    warnings.simplefilter("ignore")
    readers = {reader.name: reader for reader in importlib.import_module(table).READERS}
    import_all(readers.values())
    for line in sys.stdin.buffer:
        question = json.loads(line)
        print(json.dumps(_answer(readers[question["reader"]], question)), flush=True)


def import_all(readers):
    """Read a sample of each once, so that a child imports nothing more."""
    import tempfile

    for reader in readers:
        with tempfile.TemporaryDirectory() as folder:
            try:
                reader.read(reader.sample(Path(folder)))
            except Refusal:
                pass  # the deliberately broken readers of the tests


def _answer(reader, question):
    receiving, sending = os.pipe()
    began = time.monotonic()
    child = os.fork()
    if not child:
        os.close(receiving)
        try:
            _child(reader, question, sending)
        finally:  # never on in the loop of its parent
            os._exit(70)
    os.close(sending)
    limit = FUZZING if "examples" in question else WALL
    text = _received(receiving, began + limit)
    if text is None:
        os.kill(child, signal.SIGKILL)
    status, usage = os.wait4(child, 0)[1:]
    seconds = usage.ru_utime + usage.ru_stime
    if text and os.WIFEXITED(status):
        return dict(json.loads(text), seconds=seconds)
    if text is None:
        why = f"no end after {limit} s"
    else:
        died = os.WIFSIGNALED(status)
        why = f"ended by {signal.Signals(os.WTERMSIG(status)).name}" if died else "no answer"
    return {"end": "killed", "text": why, "seconds": seconds, "memory": 0, "deeds": []}


def _received(receiving, until):
    """What the child wrote until it closed the pipe; None when the time was over first."""
    parts = []
    with os.fdopen(receiving, "rb", buffering=0) as file:
        while True:
            left = until - time.monotonic()
            if left <= 0 or not select.select([file], [], [], left)[0]:
                return None
            part = file.read(1 << 16)
            if not part:
                return b"".join(parts).decode()
            parts.append(part)


def _child(reader, question, sending):
    path = Path(os.fsdecode(question["path"].encode("latin-1")))
    folder = path if "examples" in question else path.parent
    quiet = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(quiet, number)
    os.chdir(folder)
    ctypes.CDLL(None).prctl(*NOT_DUMPABLE)
    watch = Watch(_root_of(folder))
    began = _memory("VmRSS")
    _limit(question)
    if "examples" in question:
        from faults.hostile.mutation import try_mutations

        end, text = try_mutations(reader, path, question["examples"])
    else:
        end, text = reading(reader, path)
    answer = {"end": end, "text": text, "memory": max(0, _memory("VmHWM") - began), "deeds": watch.deeds[:5]}
    with os.fdopen(sending, "wb") as file:
        file.write(json.dumps(answer).encode())
    os._exit(0)


def _root_of(folder):
    """The folder of a case, in which a reader that writes may write; its file may lie deeper."""
    return next((place for place in (folder, *folder.parents) if place.name == "inside"), folder)


def _memory(name):
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name)) * 1024


def _limit(question):
    seconds = SECONDS if "examples" not in question else FUZZING
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_WRITTEN, LARGEST_WRITTEN))
    most = _memory("VmSize") + question["memory"]
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main(sys.argv[1])
