"""Speed of face detection, and of making and finding pasted pictures, on one core.

`python -m benchmarks.detection` prints JSON. Faces: a picture is decoded and searched by scikit-image's
cascade with the parameters of the published size. Pasting: a picture of the overlay detector's training set
is made and written as a JPEG file. The overlay detector itself belongs on a GPU: what is measured of it is
how many multiply-adds a second its network with the selection of boxes does, against those of the extraction
of descriptors on the same core, whose rate on a GPU `make gpu-check` measures. Its weights are the initial
ones, with which hardly a box is confident enough to be compared with another. Times are CPU seconds of one
thread.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.gpu_check.multiply_adds import of_layer
from benchmarks.gpu_check.throughput import PUBLISHED, extraction_call, flops
from benchmarks.plain_calls import opened, written
from benchmarks.reference_division import cpu_seconds
from encore.data.augment.assets import Assets
from encore.data.augment.draws import Draws
from encore.data.images import decode_image
from encore.detection.letterbox import letterboxed
from encore.detection.retina_net import RetinaNetShape, build_retina_net, detect
from encore.runtime.seeds import derive_seed
from encore.systems.isc.generation import jpeg
from encore.systems.isc_overlays.pasting import PastingRecipe, pasted
from encore.systems.isc_track1.face_detectors import CascadeDetector, CascadeParameters

PICTURES = Path(__file__).resolve().parents[1] / "tests" / "golden" / "isc_generate"
SOURCES = ("coffee_500x375.png", "astronaut_375x500.png")
CASCADE = CascadeParameters(scale_factor=1.2, step_ratio=1.5, min_size=48, max_size=512, neighbours=4)
"""That of the published size."""
PASTING = PastingRecipe()
QUALITY = 100
COPIES = 20
EXTRACTED = replace(PUBLISHED, recipe=replace(PUBLISHED.recipe, batch=8))


def run(repeats=5, shape=None, extracted=EXTRACTED):
    """Flat dict of rates (pictures a second, multiply-adds a second, medians over the rounds), and
    `overlays_over_extraction`, that of the multiply-adds; `megapixels`: of a picture, on the mean."""
    files = [written(Image.open(str(PICTURES / "inputs" / name)).convert("RGB"), 95) for name in SOURCES]
    sizes = [opened(file).size for file in files]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        figures = {
            "faces_pictures_per_second": faces_rate(files, repeats),
            "pasted_pictures_per_second": pasted_rate(files, repeats),
            **detector_rates(files, repeats, shape or RetinaNetShape(), extracted),
        }
    finally:
        torch.set_num_threads(threads)
    figures["megapixels"] = statistics.mean(width * height for width, height in sizes) / 1e6
    figures["rounds"] = repeats
    return figures


def faces_rate(files, repeats):
    """Pictures a second, decoding included."""
    detector = CascadeDetector(CASCADE)
    if not any(detector.boxes(decode_image(file)) for file in files):
        raise AssertionError("the cascade finds no face in pictures of which one has a face")
    return len(files) / median(lambda: [detector.boxes(decode_image(file)) for file in files], repeats)


def pasted_rate(files, repeats):
    """Pictures a second of the overlay detector's training set, from file to file; a foreign picture is
    decoded each time."""
    paths = [path for path in sorted((PICTURES / "foreign").iterdir()) if ".decoded." not in path.name]
    foreign, assets = [path.read_bytes() for path in paths], Assets("basic")

    def picture(number):
        draws = Draws(derive_seed(0, "isc_overlays", "generate", number, 0))
        own = decode_image(files[number % len(files)])
        made, _ = pasted(own, lambda: decode_image(draws.choice(foreign)), PASTING, assets, draws)
        return jpeg(made, QUALITY)

    def make():
        return [picture(number) for number in range(COPIES)]

    make()  # fills the caches of emojis
    return COPIES / median(make, repeats)


def detector_rates(files, repeats, shape, extracted):
    """Rates of the overlay detector and of the extraction in multiply-adds a second, and their ratio."""
    network = build_retina_net(shape).eval()
    frames = [letterboxed(opened(file).convert("RGB"), shape.size)[0] for file in files]
    batches = [torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))[None] for frame in frames]
    counted = sum(detector_multiply_adds(network, batch) for batch in batches)
    seconds = median(lambda: [detect(network, batch) for batch in batches], repeats)
    extract = extraction_call(extracted, torch.device("cpu"))
    extract()
    of_extraction = extracted.recipe.batch * flops(extracted)["extraction"] / 2 / median(extract, repeats)
    return {
        "overlays_pictures_per_second": len(files) / seconds,
        "overlays_multiply_adds_per_second": counted / seconds,
        "extraction_multiply_adds_per_second": of_extraction,
        "overlays_over_extraction": counted / seconds / of_extraction,
    }


def detector_multiply_adds(network, frames):
    """Multiply-adds of one frame of uint8 (1, 3, h, w) through the detector's convolutions, as they are
    called: those of the heads once a level."""
    counted = []
    convolutions = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    hooks = [
        layer.register_forward_hook(lambda layer, _, output: counted.append(of_layer(layer, output)))
        for layer in convolutions
    ]
    detect(network, frames)
    for hook in hooks:
        hook.remove()
    return sum(counted)


def median(work, repeats):
    """Median CPU seconds."""
    return statistics.median(cpu_seconds(work) for _ in range(repeats))


if __name__ == "__main__":
    print(json.dumps(run(), indent=1, sort_keys=True))
