"""`encore match` itself, from two folders to the page: broken off with its worker, and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib

import pytest

from checks.match import worker_environment
from checks.match_page import write_gallery
from checks.size import PROJECT
from tests.encore.systems.isc.pictures import png, small_network

RESULTS = ("matches.csv", "rejected.json", "match.json", "gallery.html")


@pytest.fixture
def folders(tmp_path):
    """40 pictures, every other one of which ends a shard, and weights."""
    import torch

    for folder in ("queries", "references"):
        (tmp_path / folder / "below").mkdir(parents=True)
        for i in range(20):
            ends = (zlib.crc32(b"below/%d-%d.png" % (i, n)) % 256 == 0 for n in range(100000))
            name = f"{i}-{next(n for n, end in enumerate(ends) if end or i % 2)}.png"
            (tmp_path / folder / "below" / name).write_bytes(png(i, (64, 64)))
    torch.save(small_network().state_dict(), tmp_path / "w.pth.tar")
    return tmp_path


def command(folders, output):
    return [sys.executable, "-m", "checks", "match", folders / "queries", folders / "references"] + [
        f"--weights={folders / 'w.pth.tar'}",
        f"--output={output}",
        "--scales=200",
        "--json",
    ]


def start(folders, output):
    environment = {**worker_environment(), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command(folders, output),
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def worker(monkeypatch, folders):
    """Runs the worker in this process, with one thread of torch as in `start`."""
    import torch

    from stages.isc_track2 import match

    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def call(output):
        arguments = [str(argument) for argument in command(folders, output)[4:]]
        monkeypatch.setattr(sys, "argv", ["match", *(a for a in arguments if a != "--json")])
        match.main()

    yield call
    torch.set_num_threads(threads)


def shards(output):
    return sorted(output.glob("work/descriptors/*.npz"))


def test_a_killed_command_takes_its_worker_along_and_goes_on_to_the_same_bytes(folders, worker):
    whole, killed = folders / "whole", folders / "killed"
    worker(whole)
    write_gallery(whole)
    process = start(folders, killed)
    deadline = time.monotonic() + 60
    while not shards(killed) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()  # ends when the worker has closed its streams too
    made = shards(killed)
    assert 0 < len(made) < len(shards(whole)) and not (killed / "matches.csv").exists()
    times = {path: os.stat(path).st_mtime_ns for path in made}
    stdout, stderr = start(folders, killed).communicate()
    found = json.loads(stdout or "{}")
    assert found, stderr
    assert found["rows"] == 100 and found["folders"]["queries"]["pictures"] == 20
    assert {path: os.stat(path).st_mtime_ns for path in made} == times
    for name in RESULTS:
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
