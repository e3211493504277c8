"""Queries where the challenge's cannot be had: references augmented by the 25 steps, with a held-out seed."""

from __future__ import annotations

import dataclasses
import random
import tempfile
from dataclasses import dataclass
from typing import NamedTuple, Optional, Tuple

import numpy as np
from PIL import Image

from encore.data.augment.drip_assets import DripAssets
from encore.data.augment.drip_chain import DripChain
from encore.data.image_source import open_source
from encore.data.images import decode_image
from encore.runtime.parameters import limited
from encore.systems.drip.clean_view import three_channels
from encore.systems.drip.screenshot_templates import copy_templates, read_templates
from encore.systems.isc.generation import jpeg
from encore.systems.isc.query_set import HeldOutQueries, QueryParameters


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

    def maker(self):
        """(picture, seed) -> bytes of a query's JPEG; ready to use in this process."""
        chain = self.chain.make()

        def make(picture, seed):
            found = chain(picture, random.Random(seed), np.random.RandomState(seed % 2**32))
            return jpeg(Image.fromarray(three_channels(found.pixels)), self.quality)

        return make


@dataclass(frozen=True)
class DripQueryParameters(QueryParameters):
    """Parameters of the stage `queries`: with `held_out` null, queries and truth are taken as given."""

    held_out: Optional[DripHeldOutQueries] = limited(None)


class _Decoded(NamedTuple):
    """A screenshot template in memory."""

    picture: Image.Image
    box: Tuple[int, int, int, int]

    def open(self):
        return self.picture
