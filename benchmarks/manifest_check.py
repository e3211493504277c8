"""Checking the manifest of a 2,000,000-image data set: seconds and peak memory, on synthetic shard indexes.

The shards are sparse files of the right size with real indexes, so what is measured is the check itself; the
content level (`verify_manifest(content=True)`), which reads every byte, is bound by the disk: not measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

import numpy

from encore.data.manifest import ShardEntry, verify_manifest
from encore.data.shards import write_manifest
from encore.runtime.atomic import file_digest

CLASSES, COPIES, CLASSES_PER_SHARD, BYTES_PER_IMAGE = 100_000, 20, 250, 60_000


def write_synthetic(folder, classes=CLASSES):
    """A data set of `classes` x 20 images whose tar files are sparse."""
    entries = []
    for number, first in enumerate(range(0, classes, CLASSES_PER_SHARD)):
        owners = numpy.repeat(numpy.arange(first, min(first + CLASSES_PER_SHARD, classes)), COPIES)
        index = numpy.zeros(
            len(owners),
            dtype=[
                ("name", "S13"),
                ("label", "<i4"),
                ("offset", "<i8"),
                ("size", "<i8"),
                ("sha256", "u1", (32,)),
            ],
        )
        index["name"] = ["{}_{}.jpg".format(c, j % COPIES).encode() for j, c in enumerate(owners.tolist())]
        index["label"], index["size"] = owners, BYTES_PER_IMAGE
        index["offset"] = numpy.arange(len(owners)) * (BYTES_PER_IMAGE + 1024) + 512
        index["sha256"] = numpy.random.RandomState(number).randint(0, 256, (len(owners), 32))
        name = "shard-{:05d}".format(number)
        path = os.path.join(folder, name + ".index.npy")
        numpy.save(path, index)
        size = len(owners) * (BYTES_PER_IMAGE + 1024) + 1024
        with open(os.path.join(folder, name + ".tar"), "wb") as file:
            file.truncate(size)
        entries.append(ShardEntry(name, len(owners), size, "0" * 64, file_digest(path)))
    return write_manifest(folder, entries, "synthetic")


def check(folder):
    """Run in a process of its own, so that its memory is its own: prints seconds, problems and peak bytes."""
    began = time.perf_counter()
    problems = verify_manifest(folder)
    seconds = time.perf_counter() - began
    with open("/proc/self/status", encoding="ascii") as file:  # getrusage would count the parent's peak too
        peak = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    print(json.dumps({"seconds": seconds, "problems": len(problems), "peak_memory_bytes": peak}))


def run():
    """{images, seconds, peak_memory_bytes}"""
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_synthetic(folder)
        output = subprocess.check_output([sys.executable, "-m", "benchmarks.manifest_check", folder])
    found = json.loads(output)
    if found.pop("problems"):
        raise AssertionError("the synthetic data set must hold")
    return dict(found, images=manifest.count)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        check(sys.argv[1])
    else:
        print(json.dumps(run(), indent=1))
