"""Replays the recorded runs of the published generators (tests/golden/isc_generate) with Encore's chain.

Two library products reach the pixels of a run: decoded JPEG pictures and rendered glyphs. Both were
recorded under the published libraries (Pillow 8.3.2 with libjpeg 9 and FreeType 2.11.0, text layout raqm),
so a run can be replayed with them on any Pillow; a difference that is then left is not a library's effect.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from functools import lru_cache

import numpy as np
from PIL import Image

from encore.data.augment.assets import Assets
from encore.data.augment.draws import TracedDraws
from encore.data.augment.isc_chain import PUBLISHED, IscChain
from tests.golden_files import golden

INPUTS = ("coffee_500x375.png", "astronaut_375x500.png", "camera_400x400_L.png")
FOREIGN = (
    "0_hubble_800x600.jpg",
    "1_retina_1024x1024.jpg",
    "2_brick_512x384_L.png",
    "3_ihc_240x320.png",
    "4_moon_480x360_L.jpg",
    "5_motorcycle_300x200.png",
    "6_motorcycle_640x427.jpg",
    "7_color_200x280.png",
)


@lru_cache(maxsize=None)
def read(name):
    with open(str(golden("isc_generate/" + name)), encoding="utf-8") as file:
        return json.load(file)


def picture(name):
    image = Image.open(str(golden("isc_generate/" + name)))
    image.load()
    return image


def sha256(image):
    return hashlib.sha256(image.tobytes()).hexdigest()


@lru_cache(maxsize=None)
def local_foreign():
    """The 8 foreign pictures as this interpreter's Pillow decodes them."""
    return [picture("foreign/" + name) for name in FOREIGN]


@lru_cache(maxsize=None)
def recorded_foreign():
    """The 8 foreign pictures with the pixels that the published runs saw."""
    return [picture("foreign/" + name.replace(".jpg", ".decoded.png")) for name in FOREIGN]


def glyph_key(string, pixels):
    return "{}:{}".format(max(1, pixels), "-".join(str(ord(character)) for character in string))


@lru_cache(maxsize=None)
def recorded_glyphs():
    """{key: (uint8 mask (height, width), (x, y) offset)} of the published libraries in layout raqm."""
    with np.load(str(golden("isc_generate/glyphs.npz"))) as stored:
        keys, shapes, offsets, masks = (stored[name] for name in ("keys", "shapes", "offsets", "masks"))
    ends = np.cumsum(shapes.prod(axis=1))
    return {
        str(key): (masks[end - shape.prod() : end].reshape(shape), (int(offset[0]), int(offset[1])))
        for key, shape, offset, end in zip(keys, shapes, offsets, ends)
    }


def mask_array(mask):
    """A mask of Pillow's getmask2 as uint8 (height, width)."""
    width, height = mask.size
    if width * height == 0:
        return np.zeros((height, width), np.uint8)
    image = Image.new("L", mask.size)
    image.im.paste(mask, (0, 0, width, height))
    return np.array(image)


class RecordedFont:
    """A TextFont whose glyphs are the recorded ones; a text that was not recorded raises KeyError."""

    def __init__(self, font):
        self.string = font.string

    def glyphs(self, string, pixels):
        mask, offset = recorded_glyphs()[glyph_key(string, pixels)]
        height, width = mask.shape
        empty = mask.size == 0
        image = (
            Image.new("L", (width, height))
            if empty
            else Image.frombytes("L", (width, height), mask.tobytes())
        )
        return image.im, offset


def assets(layout="basic", font=None):
    """The installed assets in one text layout, or with another font in place of theirs."""
    installed = Assets(layout)
    if font is not None:
        installed.font = font(installed.font)
    return installed


def forced(recipe):
    """The recipe with every probability set to 1: all steps fire, gates are still drawn."""
    return replace(
        recipe,
        **{
            field.name: 1.0
            for field in fields(recipe)
            if field.name.endswith("_probability") and getattr(recipe, field.name) is not None
        },
    )


class Replay:
    """One run of a chain: `.steps` as in trace.json (step, fired, draws, mode, size, sha256), `.image`,
    `.draws`.
    """

    def __init__(self, recipe, name, seed, assets, foreign):
        self.steps = []
        self.draws = TracedDraws(seed)
        chain = IscChain(recipe, assets, lambda index: foreign[index % len(foreign)])
        self.image = chain(picture("inputs/" + name), self.draws, self._record)

    def _record(self, name, fired, image):
        seen = sum(len(step["draws"]) for step in self.steps)
        self.steps.append(
            {
                "step": name,
                "fired": fired,
                "draws": self.draws.trace[seen:],
                "mode": image.mode,
                "size": list(image.size),
                "sha256": sha256(image),
            }
        )


def drawn(step):
    """The recorded draws of a step without those of numpy, whose constant stream the chain does not draw
    from.
    """
    return [draw for draw in step["draws"] if draw[0].split(".")[0] in ("random", "torch")]


def replay_published(run, layout="basic", font=None, foreign=None):
    recipe = PUBLISHED[run["dataset"]]
    return Replay(recipe, run["input"], run["seed"], assets(layout, font), foreign or recorded_foreign())
