import multiprocessing
import os
import subprocess
import sys

import torch

import encore
from encore.runtime import shared_memory

SOURCES = os.path.dirname(os.path.dirname(os.path.abspath(encore.__file__)))


def test_bytes_of_loader_processes():
    assert shared_memory.loader_bytes(8, 100) == 2 * 8 * 100 + 100
    assert shared_memory.loader_bytes(8, 100, 700) == 2 * 8 * 100 + 700
    assert shared_memory.loader_bytes(0, 100, 700) == 0


def test_a_system_without_shared_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(shared_memory, "PLACE", str(tmp_path / "none"))
    assert shared_memory.shared_memory() is None
    monkeypatch.setattr(shared_memory, "PLACE", str(tmp_path))
    free, total = shared_memory.shared_memory()
    assert 0 <= free <= total


def test_torch_names_a_segment_after_the_process_that_makes_it():
    """As `remove_segments` looks for it; only the memory map still tells the name."""
    shared = torch.zeros(3).share_memory_()
    with open("/proc/self/maps") as file:
        assert "/dev/shm/torch_{}_".format(os.getpid()) in file.read()
    assert shared.is_shared()


def test_segments_of_ended_processes_alone_are_removed(monkeypatch, tmp_path):
    for name in ("noted[1]", "shm"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(shared_memory, "PLACE", str(tmp_path / "shm"))
    dead, living = 2**22 + 1, os.getpid()
    for process in (dead, living, "x"):
        (tmp_path / "noted[1]" / "loader-{}".format(process)).touch()
    names = ["torch_{}_9_0", "torch_{}0_9_0", "sem.{}"]
    for process in (dead, living, "x", 7):
        for name in names:
            (tmp_path / "shm" / name.format(process)).touch()
    before = set(os.listdir(str(tmp_path / "shm")))
    shared_memory.remove_segments(str(tmp_path / "noted[1]"))
    assert before - set(os.listdir(str(tmp_path / "shm"))) == {"torch_{}_9_0".format(dead)}


def test_semaphores_of_a_killed_run_are_removed_by_the_next(monkeypatch, tmp_path):
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(shared_memory, "PLACE", str(tmp_path))
    monkeypatch.setitem(multiprocessing.current_process()._config, "semprefix", "/mp")
    shared_memory.own_semaphores(str(tmp_path / "work"))
    prefix = multiprocessing.current_process()._config["semprefix"]
    left, other = tmp_path / "sem.{}-abc".format(prefix[1:]), tmp_path / "sem.mp-abc"
    for path in (left, other):
        path.write_bytes(b"x")
    shared_memory.own_semaphores(str(tmp_path / "work"))
    assert not left.exists() and other.exists()
    shared_memory.own_semaphores(str(tmp_path))
    assert multiprocessing.current_process()._config["semprefix"] != prefix


NAMED = """
import sys
from multiprocessing.synchronize import SemLock
from encore.runtime import shared_memory
shared_memory.own_semaphores(sys.argv[1])
print(SemLock._make_name())
"""


def test_semaphores_really_get_that_name(tmp_path):
    """In a process of its own: joblib, where it is imported, names those of all."""
    name = subprocess.run(
        [sys.executable, "-c", NAMED, str(tmp_path)],
        stdout=subprocess.PIPE,
        check=True,
        env=dict(os.environ, PYTHONPATH=SOURCES),
    ).stdout
    assert name.startswith(b"/encore-")
