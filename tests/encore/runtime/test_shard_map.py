import os
import signal
import subprocess
import sys
import time

import pytest

from encore.runtime.shard_map import map_units


def make_square():
    return lambda unit: unit * unit


def make_failing():
    def work(unit):
        if unit == 3:
            raise ValueError("unit 3")
        return unit

    return work


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order(workers):
    assert list(map_units(make_square, range(20), workers)) == [i * i for i in range(20)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_is_raised_here(workers):
    with pytest.raises(ValueError, match="unit 3"):
        list(map_units(make_failing, range(8), workers))


SLEEPERS = """
import os, sys, time
from encore.runtime.shard_map import map_units
def make():
    def work(unit):
        os.write(1, b"%d\\n" % os.getpid())
        time.sleep(60)
    return work
list(map_units(make, range(2), 2))
"""


INTERRUPTED = """
import os, time
from encore.runtime.shard_map import map_units
from encore.runtime.stage import run_stage
def make():
    def work(unit):
        os.write(1, b"begun\\n")
        time.sleep(3)
        os.write(1, b"done\\n")
    return work
run_stage(lambda: list(map_units(make, range(2), 2)))
"""


def test_an_interrupted_map_says_at_once_that_it_waits_for_its_workers():
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        start_new_session=True,
        # A program that starts with Ctrl-C ignored (a suite in the background) could not be interrupted.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert [process.stdout.readline() for _ in range(2)] == ["begun\n"] * 2
    os.killpg(process.pid, signal.SIGINT)
    assert process.stderr.readline() == "encore: interrupted: waiting for what is in work\n"
    assert process.poll() is None
    out, err = process.stdout.read(), process.stderr.read()  # `communicate` loses what readline read ahead
    process.wait()
    assert out == "done\n" * 2
    assert err == "encore: interrupted; run the same command again to go on\n" and process.returncode == 130


def alive(pid):
    try:
        with open("/proc/{}/stat".format(pid)) as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_die_with_a_killed_parent():
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPERS], stdout=subprocess.PIPE, universal_newlines=True
    )
    workers = [int(process.stdout.readline()) for _ in range(2)]
    assert all(alive(pid) for pid in workers)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for _ in range(50):
        if not any(alive(pid) for pid in workers):
            break
        time.sleep(0.1)
    assert not any(alive(pid) for pid in workers)
    process.stdout.close()
