"""The recorded runs of the drip training's augmentation, and this project's chain set up like them."""

from __future__ import annotations

import functools
import json
import random

import numpy as np
from PIL import Image, features

from encore.data.augment.drip_assets import DripAssets
from encore.data.augment.drip_chain import DripChain
from encore.data.augment.screenshot import ScreenshotTemplate
from tests.golden_files import golden


@functools.lru_cache(maxsize=None)
def recorded():
    return json.loads(golden("drip/augs.json").read_text())


@functools.lru_cache(maxsize=None)
def assets():
    return DripAssets("raqm" if features.check("raqm") else "basic")


@functools.lru_cache(maxsize=None)
def picture(name):
    with Image.open(golden("drip/inputs/{}.png".format(name))) as image:
        return image.copy()


def templates():
    boxes = json.loads(golden("drip/inputs/bboxes.json").read_text())
    return [
        ScreenshotTemplate(str(golden("drip/inputs/" + name)), tuple(boxes[name]))
        for name in recorded()["templates"]
    ]


def chain(intensity, **changed):
    given = dict(pool=recorded()["pool"], open_picture=picture, templates=templates())
    given.update(changed)
    return DripChain(intensity, assets(), **given)


def replay(case):
    """(Augmented, the next random.random(), the next numpy random_sample()) of one recorded case."""
    rng, state = random.Random(case["seed"]), np.random.RandomState(case["seed"])
    result = chain(case["intensity"])(picture(case["photo"]), rng, state)
    return result, rng.random(), state.random_sample()
