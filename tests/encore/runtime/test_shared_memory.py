import multiprocessing
import os
import subprocess
import sys

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
