"""The lock of the fault suites: it goes on top of cpu.txt and changes nothing there."""

from __future__ import annotations

import shutil

import pytest

from checks import locks
from checks.size import PROJECT
from encore.runtime.refusal import Refusal


def versions(name):
    """{package: its versions} of a lock."""
    found = {}
    for pin in locks.read_entries(locks.lock(PROJECT, name).read_text()):
        package, version = pin.split(" ;")[0].split("==")
        found.setdefault(package, set()).add(version)
    return found


def test_it_has_what_the_suites_need_and_no_other_version_of_anything():
    faults, cpu = versions("faults"), versions("cpu")
    assert {"ray", "atheris", "pip-audit", "kubernetes-validate"} <= faults.keys() - cpu.keys()
    shared = faults.keys() & cpu.keys()
    assert len(shared) > 10 and all(faults[name] <= cpu[name] for name in shared)
    assert "pip" not in faults  # the one of the environment stays


def test_it_is_older_when_the_lock_below_it_changes(tmp_path):
    shutil.copytree(PROJECT / "locks", tmp_path / "locks")
    assert locks._problems_of(tmp_path, "faults") == []
    cpu = tmp_path / "locks" / "cpu.txt"
    cpu.write_text(cpu.read_text() + "\n")
    (problem,) = locks._problems_of(tmp_path, "faults")
    assert "older than what it is made from (faults.in, cpu.txt)" in problem
    cpu.unlink()
    with pytest.raises(Refusal, match="faults.in includes cpu.txt, which is missing"):
        locks._problems_of(tmp_path, "faults")
