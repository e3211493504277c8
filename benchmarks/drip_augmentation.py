"""Speed of the drip training's query augmentation on one core, against AugLy 0.1.10's own calls.

`python -m benchmarks.drip_augmentation` prints JSON. Both sides take the same decoded pictures (384x384, as
in the published resized copy) and the same draws at I = 0.75, made anew on each side, and end in an array.
The last step, OpenCV's resize, is counted as free on AugLy's side (it needs 0.05 ms) and fully on Encore's.
Times are CPU seconds of one thread, taken in turns.
"""

from __future__ import annotations

import json
import random
import statistics
import time

import numpy as np
from PIL import Image, ImageFont, features

from benchmarks.augly_calls import AugLyCalls
from benchmarks.generation_chain import PICTURES
from encore.data.augment.drip_assets import DripAssets
from encore.data.augment.drip_chain import DripChain
from encore.data.augment.opencv_bilinear import resize_bilinear
from encore.data.augment.screenshot import ScreenshotTemplate

INPUTS = PICTURES.parent / "drip" / "inputs"
SOURCES = ("photo0", "photo1")
POOL = ("T900000", "T900001", "T900002", "T900003")
INTENSITY = 0.75
WARM = 20
"""Pictures before the measured ones, which fill caches."""


def run(pictures=1500, rounds=3):
    """images_per_second of both sides, `ratio` (Encore over AugLy's calls: median of `rounds`, each over the
    same `pictures` pictures), and how many results differ (0)."""
    chain, augly = sides()
    sources = [_picture(name) for name in SOURCES]
    for seed in range(WARM):
        timed(seed, sources, chain, augly)
    seconds, differing = [], 0
    for _ in range(rounds):
        taken = np.zeros(2)
        for seed in range(pictures):
            ours, theirs, differs = timed(seed, sources, chain, augly)
            taken += ours, theirs
            differing += differs
        seconds.append(taken)
    ratios = [theirs / ours for ours, theirs in seconds]
    ours, theirs = (pictures / statistics.median(side) for side in zip(*seconds))
    return {
        "images_per_second": float(ours),
        "augly_images_per_second": float(theirs),
        "ratio": float(statistics.median(ratios)),
        "ratio_lowest": float(min(ratios)),
        "ratio_highest": float(max(ratios)),
        "pictures": pictures,
        "rounds": rounds,
        "differing_pictures": int(differing),
    }


def sides():
    """(DripChain, AugLyCalls) over the same pictures, fonts and screenshots."""
    layout = "raqm" if features.check("raqm") else "basic"
    boxes = INPUTS / "bboxes.json"
    places = json.loads(boxes.read_text())
    templates = [ScreenshotTemplate(str(INPUTS / name), tuple(places[name])) for name in sorted(places)]
    pool = {name: _picture(name) for name in POOL}
    assets = DripAssets(layout)
    chain = DripChain(INTENSITY, assets, list(POOL), pool.__getitem__, templates)
    engine = getattr(ImageFont, "Layout", ImageFont)
    engine = getattr(engine, layout.upper(), None) or getattr(engine, "LAYOUT_" + layout.upper())
    return chain, AugLyCalls(assets.folder, pool.__getitem__, engine, str(boxes))


def timed(seed, sources, chain, augly):
    """(Encore's seconds, AugLy's, whether the results differ) of one picture."""
    image, seconds, found = sources[seed % len(sources)], {}, {}
    calls = [
        ("encore", lambda: _encore(image, seed, chain)),
        ("augly", lambda: _augly(image, seed, chain, augly)),
    ]
    # Which side goes first alternates: the second finds the picture in the processor's caches.
    for side, call in calls if seed // len(sources) % 2 else reversed(calls):
        began = time.thread_time()
        found[side] = call()
        seconds[side] = time.thread_time() - began
    expected = resize_bilinear(np.ascontiguousarray(found["augly"]), chain.size)
    return seconds["encore"], seconds["augly"], not np.array_equal(found["encore"], expected)


def _encore(image, seed, chain):
    return chain(image, random.Random(seed), np.random.RandomState(0)).pixels


def _augly(image, seed, chain, augly):
    for step in chain.draws(random.Random(seed), image.size, len(image.getbands())):
        if step.name != "final_resize":
            image = augly(image, step)
    return np.array(image)


def _picture(name):
    with Image.open(str(INPUTS / (name + ".png"))) as image:
        return image.convert("RGB")


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
