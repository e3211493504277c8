"""Speed of the Track 2 generator on one core, against the bare sum of its own Pillow and numpy calls.

`python -m benchmarks.generation_chain` prints JSON. Both sides decode a source once, make copy 0 and 19
augmented copies with the same drawn parameters, decode the other pictures that steps need, and make JPEG
files of quality 100. The bare side is plain library calls with everything else worked out beforehand: no
draws, no gates, no code of Encore. Times are CPU seconds of one thread.
"""

from __future__ import annotations

import io
import json
import statistics
import time
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.plain_calls import PlainCalls, opened, written
from encore.data.augment.assets import Assets
from encore.data.augment.crop import RandomResizedCrop
from encore.data.augment.draws import TracedDraws
from encore.data.augment.isc_chain import PUBLISHED, IscChain
from encore.data.images import decode_image
from encore.runtime.seeds import derive_seed
from encore.systems.isc.generation import copy_draws, generate_class

PICTURES = Path(__file__).resolve().parents[1] / "tests" / "golden" / "isc_generate"
SOURCES = ("coffee_500x375.png", "astronaut_375x500.png")
RECIPE = PUBLISHED["isc_100k_256"]
QUALITY = 100
COPIES = 20
ADDRESS = (1, "isc_track2")


def run(repeats=15):
    """Rates, their `ratio` (median over classes that both sides make one after the other) and the profile."""
    others = [
        path.read_bytes() for path in sorted((PICTURES / "foreign").iterdir()) if ".decoded." not in path.name
    ]
    chain = IscChain(RECIPE, Assets("basic"), lambda index: decode_image(others[index % len(others)]))
    plain = PlainCalls(RECIPE.size, chain.assets, others)
    sources = [as_jpeg(PICTURES / "inputs" / name) for name in SOURCES]
    calls = [class_calls(source, class_id, chain, plain) for class_id, source in enumerate(sources)]
    whole, steps = [], []
    for repeat in range(repeats + 1):
        for class_id, source in enumerate(sources):
            make = partial(generate_class, source, class_id, COPIES, chain, ADDRESS, RECIPE.size, QUALITY)
            # Which side goes first alternates: it finds the other's pictures in the processor's caches.
            if repeat % 2:
                whole.append(timed([("class", make)])["class"])
            steps.append(timed(calls[class_id]))
            if not repeat % 2:
                whole.append(timed([("class", make)])["class"])
    # The first round fills the caches of fonts, emojis and permutations on both sides.
    return report(whole[len(sources) :], steps[len(sources) :])


def class_calls(source, class_id, chain, plain):
    """The plain calls [(step, call)] that make one class, each checked to give the chain's picture."""
    image = opened(source)
    calls = [("decode", partial(opened, source)), ("copy 0", partial(chain.first_copy, image, None))]
    calls.append(("JPEG", partial(written, calls[-1][1](), QUALITY)))
    for copy in range(1, COPIES):
        seed = derive_seed(*ADDRESS, "generate", class_id, copy)
        steps = recorded_steps(image, chain, TracedDraws(seed))
        for name, before, values, after in steps:
            if name == "RandomResizedCrop":
                box = RandomResizedCrop(RECIPE.size).box(image.size, copy_draws(ADDRESS, class_id, copy))
                call = plain.crop(before, box)
            else:
                call = plain.makers[name](before, values)
            if call().tobytes() != after.tobytes():
                raise AssertionError("the plain calls of {} do not make the chain's picture".format(name))
            calls.append((name, call))
        calls.append(("JPEG", partial(written, steps[-1][3], QUALITY)))
    return calls


def recorded_steps(image, chain, draws):
    """[(name, picture before, drawn values, picture after)] of the steps that changed the picture."""
    steps, state = [], {"picture": image, "draws": 0}

    def record(name, fired, after):
        before, values = state["picture"], [entry[-1] for entry in draws.trace[state["draws"] :]]
        state.update(picture=after, draws=len(draws.trace))
        if np.any(fired) and after is not before:
            steps.append((name, before, values, after))

    chain(image, draws, record)
    return steps


def timed(calls):
    """{step: CPU seconds of all its calls}."""
    times = {}
    for name, call in calls:
        start = time.thread_time()
        call()
        times[name] = times.get(name, 0.0) + time.thread_time() - start
    return times


def report(whole, steps):
    """whole: CPU seconds of one class each; steps: those of its plain calls by step, in the same order."""
    bare = [sum(times.values()) for times in steps]
    names = sorted({name for times in steps for name in times})
    profile = {n: 1000 * statistics.mean(times.get(n, 0.0) for times in steps) / COPIES for n in names}
    total = sum(profile.values())
    ratios = [plain / ours for plain, ours in zip(bare, whole)]
    return {
        "images_per_second": COPIES / statistics.median(whole),
        "bare_images_per_second": COPIES / statistics.median(bare),
        "ratio": statistics.median(ratios),
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
        "classes_timed": len(whole),
        "pictures_a_class": COPIES,
        "steps": {
            name: {"milliseconds_per_picture": value, "share": value / total}
            for name, value in sorted(profile.items(), key=lambda item: -item[1])
        },
    }


def as_jpeg(path):
    """A stored picture as a JPEG file, as the challenge's sources are."""
    file = io.BytesIO()
    Image.open(str(path)).save(file, "JPEG", quality=95)
    return file.getvalue()


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
