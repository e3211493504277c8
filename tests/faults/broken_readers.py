"""Readers that break their promise, one way each: the suite has to say so of every one."""

import pickle
import sys
import tarfile
import time

from encore.runtime.refusal import Refusal
from faults.hostile import samples
from faults.hostile.reader import Reader


def runs_code(path):
    return pickle.loads(path.read_bytes())


def unpacks_anywhere(path):
    with tarfile.open(path) as tar:
        tar.extractall(path.parent, filter="fully_trusted")


def hangs(path):
    if path.read_bytes().startswith(b"["):
        while True:
            time.sleep(1)


def spins(path):
    while path.read_bytes().startswith(b"["):
        pass


def takes_memory(path):
    if path.read_bytes().startswith(b"["):
        return bytearray(1 << 31)


def takes_memory_and_says_no(path):
    try:
        takes_memory(path)
    except MemoryError as error:
        raise Refusal(f"{path}: too large") from error


def says_it_on_two_lines(path):
    raise Refusal(f"{path}: no", "and again no")


def names_no_file(path):
    if path.read_bytes().startswith(b"["):
        raise Refusal("this is wrong")


def crashes(path):
    if path.read_bytes().startswith(b"["):
        import ctypes

        ctypes.string_at(1)


def raises_something_else(path):
    if path.read_bytes().startswith(b"["):
        raise KeyError(path)


def takes_anything(path):
    return path


def writes_elsewhere(path):
    (path.parent.parent / "written").write_text("x")
    raise Refusal(f"{path}: no")


def recurses(path):
    if path.read_bytes().startswith(b"["):
        sys.setrecursionlimit(200)
        recurses(path)


def fails_on_odd_bytes(path):
    if 255 in path.read_bytes():
        raise ValueError("255")


_slow = []


def is_slow_once(path):
    if 255 in path.read_bytes() and not _slow:
        _slow.append(path)
        until = time.process_time() + 1.3
        while time.process_time() < until:
            pass


READERS = [
    Reader("runs_code", "pickle", samples.id_pickle, runs_code),
    Reader("unpacks_anywhere", "tar", samples.tar, unpacks_anywhere),
    *(
        Reader(function.__name__, "json", samples.params_json, function)
        for function in (
            hangs,
            spins,
            takes_memory,
            takes_memory_and_says_no,
            says_it_on_two_lines,
            names_no_file,
            crashes,
            raises_something_else,
            takes_anything,
            writes_elsewhere,
            recurses,
            fails_on_odd_bytes,
            is_slow_once,
        )
    ),
]
