"""How fast the centroids of a drip training stage are made, against the bare network.

`python -m benchmarks.centroids` prints JSON. eca_nfnet_l1 with untrained weights on drawn pictures of 384
pixels, views of 160, intensity 0.5, one clean pass and four augmented ones. The bare side runs the network
over as many batches, on the device already. On a GPU: 4096 classes and a loader process for each core;
on a CPU: 8 classes, one thread for the network and one loader process beside it. Times are taken in turns.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time

import numpy as np
import torch
from PIL import Image

from encore.data.augment.drip_assets import DripAssets
from encore.data.augment.screenshot import ScreenshotTemplate
from encore.runtime.numerics import exact
from encore.systems.drip.centroids import PASSES, build_centroids
from encore.systems.drip.class_views import build_views
from encore.systems.drip.network import NetworkShape, build
from encore.systems.drip.samples import SampleIds, TrainingSamples
from encore.systems.drip.view_batches import ViewBatches

SIDE, INTENSITY, POOL, TEMPLATES = 384, 0.5, 64, 4
REPEATS = 2


def write_pictures(root, letter, folder, digits, count):
    """`count` JPEG files of smooth colours with some noise, as the resized copies are."""
    os.makedirs(os.path.join(root, folder))
    for number in range(count):
        draws = np.random.RandomState(number)
        coarse = Image.fromarray(draws.randint(0, 256, (12, 12, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((SIDE, SIDE), Image.BICUBIC)).astype(np.int16)
        pixels = np.clip(pixels + draws.randint(-12, 13, pixels.shape), 0, 255).astype(np.uint8)
        name = "{}{:0{}d}.jpg".format(letter, number, digits)
        Image.fromarray(pixels).save(os.path.join(root, folder, name))


def templates(folder):
    """Screenshots of 800 x 600 pixels with a place for a picture."""
    found = []
    for number in range(TEMPLATES):
        path = os.path.join(folder, "template{}.png".format(number))
        Image.new("RGB", (800, 600), (40 * number, 90, 200)).save(path)
        found.append(ScreenshotTemplate(path, (100, 50, 600, 450)))
    return found


def batches_of(folder, classes):
    """The ViewBatches of so many classes."""
    write_pictures(folder, "T", "training_images", 6, classes)
    write_pictures(folder, "I", "imagenet_images", 7, POOL)
    samples = TrainingSamples(
        SampleIds.numbered("T", np.arange(classes)), SampleIds.numbered("I", np.arange(POOL))
    )
    views = build_views(samples, folder, DripAssets("basic"), templates(folder), INTENSITY)
    return ViewBatches(views, 0, classes)


def bare(network, images, forwards, device):
    """Seconds of `forwards` times the network on the batch `images`."""
    began = time.perf_counter()
    with torch.no_grad(), exact():
        for _ in range(forwards):
            network(images)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def centroids(network, batches, batch, workers, device):
    """Seconds of making W."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        build_centroids(network, batches, folder, {}, batch=batch, workers=workers, device=device)
        return time.perf_counter() - began


def run(repeats=REPEATS, shape=None, classes=None, batch=None):
    """Flat dict: pictures a second of both sides, the ratio (centroids over bare), views and processes."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    classes = classes or (4096 if device == "cuda" else 8)
    batch = batch or (64 if device == "cuda" else 8)
    workers = os.cpu_count() if device == "cuda" else 1
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    network = build(shape or NetworkShape(), 0).to(device).eval()
    seconds = {"bare": [], "centroids": []}
    try:
        with tempfile.TemporaryDirectory() as folder:
            batches = batches_of(folder, classes)
            size = batches.views.size
            images = torch.rand((batch, 3, size, size), device=device)
            forwards = (PASSES + 1) * classes // batch
            bare(network, images, 2, device)  # what the first calls set up
            for _ in range(repeats):
                seconds["bare"].append(bare(network, images, forwards, device))
                seconds["centroids"].append(centroids(network, batches, batch, workers, device))
    finally:
        torch.set_num_threads(threads)
    views = (PASSES + 1) * classes
    speed = {side: views / statistics.median(found) for side, found in seconds.items()}
    return {
        "ratio": speed["centroids"] / speed["bare"],
        "views_a_second_centroids": speed["centroids"],
        "views_a_second_bare": speed["bare"],
        "views": views,
        "loader_processes": workers,
        "on_a_gpu": int(device == "cuda"),
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=1, sort_keys=True))
