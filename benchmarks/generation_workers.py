"""Generation of part of the mini training set with 2 workers against 1: ratio of images per second."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import time
from pathlib import Path

from encore.runtime.parameters import read_parameters
from encore.systems.isc.training_set import GenerateParameters, generate_training_set

MINI = Path(__file__).resolve().parent.parent / "mini"
REPEATS = 3


def generate(parameters, workers):
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        manifest = generate_training_set(
            folder, dataclasses.replace(parameters, workers=workers), "benchmark", "isc_track2"
        )
        return manifest, time.perf_counter() - began


def run():
    """{images, one_worker_images_per_second, two_workers_images_per_second, ratio}"""
    before = os.getcwd()
    os.chdir(MINI)
    try:
        parameters = read_parameters("params.yaml", "isc_track2.generate", GenerateParameters)
        chain = dataclasses.replace(parameters.chain, size=256)
        parameters = dataclasses.replace(parameters, every=4, classes_per_shard=4, chain=chain)
        seconds, digests = {1: [], 2: []}, set()
        for _ in range(REPEATS):
            for workers in (1, 2):
                manifest, taken = generate(parameters, workers)
                seconds[workers].append(taken)
                digests.add(manifest.digest)
    finally:
        os.chdir(before)
    if len(digests) != 1:
        raise AssertionError("the number of workers changed the result")
    one, two = min(seconds[1]), min(seconds[2])
    return {
        "images": manifest.count,
        "one_worker_images_per_second": manifest.count / one,
        "two_workers_images_per_second": manifest.count / two,
        "ratio": one / two,
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
