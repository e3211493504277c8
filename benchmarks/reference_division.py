"""Division of references on the fly against the bare sum of its own Pillow calls; speed of selective search.

`python -m benchmarks.reference_division` prints JSON. Both sides decode a reference once, cut it into 19
parts, encode each as a JPEG file of quality 100, decode it and resize it to the published side; nothing is
written. The bare side knows the boxes beforehand and calls Pillow alone. Selective search is timed on the
same pictures, and of it the segmentation, which is scikit-image's own; where the package selectivesearch is
installed, that is timed too. Times are CPU seconds of one thread.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.plain_calls import opened, written
from encore.data.augment.resample import resize
from encore.detection.selective_search import selective_search
from encore.systems.isc_track1.reference_parts import PARTS, ReferenceParts, reference_boxes

PICTURES = Path(__file__).resolve().parents[1] / "tests" / "golden" / "isc_generate" / "inputs"
SOURCES = ("coffee_500x375.png", "astronaut_375x500.png")
SIDE = 256
QUALITY = 100


class References:
    """The example references in memory, as JPEG files."""

    def __init__(self):
        self.names = ["R{:06d}.jpg".format(i) for i in range(len(SOURCES))]
        self._files = [written(Image.open(str(PICTURES / name)).convert("RGB"), 95) for name in SOURCES]

    def __len__(self):
        return len(self._files)

    def read(self, i):
        return self._files[i]


def run(repeats=15):
    """Flat dict: milliseconds a reference of both sides, their `ratio` (median over alternating rounds), and
    milliseconds a picture of selective search."""
    source = References()
    parts = ReferenceParts(source)
    boxes = [reference_boxes(*opened(source.read(i)).size) for i in range(len(source))]
    ours, bare = on_the_fly(parts), by_hand(source, boxes)
    if [picture.tobytes() for picture in ours] != [picture.tobytes() for picture in bare]:
        raise AssertionError("the bare calls do not make the parts of the division")
    seconds = {"ours": [], "bare": []}
    for repeat in range(repeats):
        rounds = [("ours", lambda: on_the_fly(parts)), ("bare", lambda: by_hand(source, boxes))]
        # Which side goes first alternates: it finds the other's pictures in the processor's caches.
        for side, work in rounds if repeat % 2 else rounds[::-1]:
            seconds[side].append(cpu_seconds(work))
    ratios = [a / b for a, b in zip(seconds["ours"], seconds["bare"])]
    return {
        "milliseconds_a_reference": 1000 * statistics.median(seconds["ours"]) / len(source),
        "bare_milliseconds_a_reference": 1000 * statistics.median(seconds["bare"]) / len(source),
        "ratio": statistics.median(ratios),
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
        "rounds": repeats,
        "parts": PARTS,
        **search_times(source),
    }


def on_the_fly(parts):
    """All parts at the side of the network's input, as the extraction takes them."""
    return [resize(picture, (SIDE, SIDE)) for _, picture in parts.pictures(range(len(parts)))]


def by_hand(source, boxes):
    """The same pictures by plain Pillow calls."""
    pictures = []
    for i in range(len(source)):
        whole = opened(source.read(i))
        for box in boxes[i]:
            part = opened(written(whole.crop(box), QUALITY))
            pictures.append(resize(part, (SIDE, SIDE)))
    return pictures


def search_times(source, repeats=3):
    """Milliseconds a picture of selective search, and of the package where it is installed."""
    pixels = [np.asarray(opened(source.read(i))) for i in range(len(source))]
    times = {
        "search_milliseconds_a_picture": per_picture(selective_search, pixels, repeats),
        "segmentation_milliseconds_a_picture": per_picture(segmentation, pixels, repeats),
    }
    if importlib.util.find_spec("selectivesearch"):
        import selectivesearch

        def package(image):
            return selectivesearch.selective_search(image, scale=500, sigma=0.9, min_size=10)

        slow = per_picture(package, pixels, 1)
        times["package_milliseconds_a_picture"] = slow
        times["package_over_search"] = slow / times["search_milliseconds_a_picture"]
    return times


def segmentation(image):
    from skimage.segmentation import felzenszwalb
    from skimage.util import img_as_float

    return felzenszwalb(img_as_float(image), scale=500, sigma=0.9, min_size=10)


def per_picture(search, pictures, repeats):
    search(pictures[0])  # imports
    rounds = [cpu_seconds(lambda: [search(image) for image in pictures]) for _ in range(repeats)]
    return 1000 * statistics.median(rounds) / len(pictures)


def cpu_seconds(work):
    start = time.thread_time()
    work()
    return time.thread_time() - start


if __name__ == "__main__":
    print(json.dumps(run(), indent=1, sort_keys=True))
