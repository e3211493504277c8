"""Copies of a command as further processes of one run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

COMMAND = """
import os, sys, time
from encore.training.launch import further_processes

def main(count, what, folder):
    if int(os.environ.get("RANK", "0")) > 0:
        work(what, folder)
        return
    with further_processes(int(count)):
        work(what, folder)
    with open(os.path.join(folder, "after"), "w") as file:
        file.write(" ".join(name for name in ("RANK", "WORLD_SIZE", "MASTER_PORT") if name in os.environ))

def work(what, folder):
    rank = os.environ.get("RANK", "alone")
    names = ("WORLD_SIZE", "MASTER_ADDR", "OMP_NUM_THREADS")
    with open(os.path.join(folder, rank), "w") as file:
        file.write(" ".join([str(os.getpid())] + [os.environ.get(name, "-") for name in names]))
    if what == "fail" and rank == "1":
        sys.exit(7)
    if what == "refuse" and rank == "1":
        sys.exit(2)
    if what == "refuse":
        time.sleep(1)
        sys.exit("the reason that all of them share")
    if what in ("fail", "wait"):
        time.sleep(300)

if __name__ == "__main__":
    main(*sys.argv[1:])
"""


@pytest.fixture
def start(tmp_path):
    (tmp_path / "command.py").write_text(COMMAND)

    def started(*arguments, **variables):
        environment = {
            name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "WORLD_SIZE")
        }
        environment.update(variables, PYTHONPATH=os.pathsep.join([str(tmp_path)] + sys.path))
        return subprocess.Popen(
            [sys.executable, "-m", "command"] + list(map(str, arguments)) + [str(tmp_path)],
            env=environment,
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )

    return started


def waited(path, seconds=20):
    deadline = time.time() + seconds
    while not (path.exists() and path.read_text()) and time.time() < deadline:
        time.sleep(0.02)
    return path.read_text().split()


def test_every_rank_runs_the_command_and_the_first_goes_on_alone(start, tmp_path):
    assert start(4, "end").wait(30) == 0
    found = [waited(tmp_path / str(rank)) for rank in range(4)]
    assert len({pid for pid, *_ in found}) == 4
    threads = str(max(1, len(os.sched_getaffinity(0)) // 4))
    assert all(rest == ["4", "127.0.0.1", threads] for _, *rest in found[1:])
    assert found[0][1:] == ["4", "127.0.0.1", threads]
    assert (tmp_path / "after").read_text() == ""


def test_one_process_is_left_alone(start, tmp_path):
    assert start(1, "end").wait(30) == 0
    assert waited(tmp_path / "alone")[1:] == ["-", "-", "-"] and not (tmp_path / "1").exists()


def test_a_launcher_s_processes_are_not_multiplied(start, tmp_path):
    assert start(2, "end", WORLD_SIZE="2", RANK="0").wait(30) == 0
    assert waited(tmp_path / "0") and not (tmp_path / "1").exists()


def test_the_run_ends_with_the_status_of_a_process_that_fails(start):
    run = start(2, "fail")
    assert run.wait(30) == 7
    assert "a process of this run ended with status 7" in run.stderr.read()


def test_a_refusal_that_all_share_is_said_by_the_first_process_alone(start):
    run = start(2, "refuse")
    assert run.wait(60) == 1
    assert run.stderr.read().splitlines() == ["the reason that all of them share"]


def test_a_killed_run_leaves_no_process_behind(start, tmp_path):
    run = start(2, "wait")
    pid = int(waited(tmp_path / "1")[0])
    run.send_signal(signal.SIGKILL)
    run.wait(30)
    deadline = time.time() + 10
    while os.path.exists("/proc/{}".format(pid)) and _state(pid) != "Z" and time.time() < deadline:
        time.sleep(0.02)
    assert not os.path.exists("/proc/{}".format(pid)) or _state(pid) == "Z"


def _state(pid):
    try:
        with open("/proc/{}/stat".format(pid)) as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return "Z"
