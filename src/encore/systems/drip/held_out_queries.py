"""Queries where the challenge's cannot be had: references augmented by the 25 steps, with a held-out seed."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import json
import os
import random
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple, Optional, Tuple

import numpy as np
from PIL import Image

from encore.data.augment.drip_assets import DripAssets
from encore.data.augment.drip_chain import DripChain
from encore.data.image_source import open_source
from encore.data.images import decode_image
from encore.runtime.atomic import write_json
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.systems.drip.clean_view import three_channels
from encore.systems.drip.screenshot_templates import copy_templates, read_templates
from encore.systems.drip.step_failures import StepFailures
from encore.systems.isc.generation import jpeg
from encore.systems.isc.query_set import HeldOutQueries, QueryParameters, write_query_set

SYSTEM = "drip"
NOTES = "raised_steps"
"""Folder beside the shards while queries are made."""


@dataclass(frozen=True)
class DripChainParameters:
    """The 25 steps, as queries are made by them."""

    intensity: float = limited(low=0, high=1)
    size: int = limited(low=8, high=4096)
    """Side of the queries in pixels."""
    overlays: str = limited()
    """Pictures that are pasted on queries, or the other way round: a folder, or file.tar#prefix."""
    templates: str = limited()
    """Where `bboxes.json` and its screenshots are, the same."""
    text_layout: str = limited(choices=("raqm", "basic"))

    def recipe_values(self):
        """All that decides what the chain makes."""
        return dataclasses.asdict(self)

    def make(self):
        """The DripChain, ready to use in this process."""
        source = open_source(self.overlays)
        pool = {name: place for place, name in enumerate(source.names)}
        with tempfile.TemporaryDirectory() as folder:
            copy_templates(folder, self.templates)
            templates = [
                _Decoded(template.open().copy(), template.box) for template in read_templates(folder, 1).found
            ]
        return DripChain(
            self.intensity,
            DripAssets(self.text_layout),
            list(pool),
            lambda name: decode_image(source.read(pool[name])),
            templates,
            (self.size, self.size),
        )


@dataclass(frozen=True)
class DripHeldOutQueries(HeldOutQueries):
    """How queries are made when none are given."""

    chain: DripChainParameters

    def maker(self, notes=None):
        """(picture, seed) -> bytes of a query's JPEG; ready to use in this process.

        notes: folder in which the names of the steps that raised are kept, in a file a query that had any;
        None: they are not. Refusal for a picture of which no query can be made.
        """
        chain = self.chain.make()

        def make(picture, seed):
            try:
                found = chain(picture, random.Random(seed), np.random.RandomState(seed % 2**32))
            except Refusal:
                raise
            except Exception as error:  # what any step may raise
                raise Refusal(
                    "queries: {} augmentations of a picture in a row failed, the last one with {}: {}: look "
                    "at the pictures, and at the versions of Pillow and numpy".format(
                        chain.retries + 1, type(error).__name__, error
                    )
                ) from error
            if notes is not None:
                _note(notes, seed, found.raised)
            return jpeg(Image.fromarray(three_channels(found.pixels)), self.quality)

        return make


@dataclass(frozen=True)
class DripQueryParameters(QueryParameters):
    """Parameters of the stage `queries`: with `held_out` null, queries and truth are taken as given."""

    held_out: Optional[DripHeldOutQueries] = limited(None)
    max_raised: float = limited(0.01, low=0, high=1)
    """Share of the made queries in which a step of the chain may raise; 1: whatever."""

    def recipe(self):
        """What decides the result, as the recipe of given queries: not what is tolerated."""
        values = super().recipe()
        del values["max_raised"]
        return values


def write_drip_queries(folder, parameters, digest):
    """Write queries and truth into `folder` as write_query_set -> (Manifest, counts as {name: number}).

    The counts of made queries are `raised_steps`, how often a step raised and the picture was augmented anew,
    and `raised_<step>`. They are the same for any number of workers and after a kill: each query's are kept
    beside the shards until all are there. Refusal where a step raised in more than `max_raised` of them:
    under other versions of its libraries it may always do so, and no query has it.
    """
    if parameters.held_out is None:
        return write_query_set(folder, parameters, digest, SYSTEM), {}
    notes = os.path.join(str(folder), NOTES)
    os.makedirs(notes, exist_ok=True)
    noting = dataclasses.replace(parameters, held_out=_Noting(parameters.held_out, notes))
    manifest = write_query_set(folder, noting, digest, SYSTEM)
    failures = StepFailures(parameters.max_raised)
    try:
        failures.add(_noted(notes), manifest.count)
    except Refusal as refusal:
        raise Refusal("{}.queries.max_raised: {}".format(SYSTEM, refusal)) from None
    shutil.rmtree(notes)
    return manifest, failures.metrics()


class _Noting:
    """DripHeldOutQueries that keep what raised in the folder `notes`."""

    def __init__(self, held_out, notes):
        self._held_out, self._notes = held_out, notes

    def __getattr__(self, name):
        return getattr(self._held_out, name)

    def maker(self):
        return self._held_out.maker(self._notes)


def _note(folder, seed, raised):
    """Keep what raised while the query of `seed` was made, in place of what was kept before."""
    path = os.path.join(folder, "{}.json".format(seed))
    if raised:
        write_json(path, raised)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _noted(folder):
    """Step -> how often it raised."""
    counts = Counter()
    for path in glob.glob(os.path.join(glob.escape(folder), "*.json")):
        with open(path, encoding="utf-8") as file:
            counts.update(json.load(file))
    return counts


class _Decoded(NamedTuple):
    """A screenshot template in memory."""

    picture: Image.Image
    box: Tuple[int, int, int, int]

    def open(self):
        return self.picture
