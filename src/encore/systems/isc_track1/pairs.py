"""The data set `pairs` of the three pair models: un-augmented pictures, one class a pair (training 3.9, end).

Published: "pairs" holds query and reference pictures of given pairs as `{id}_{n}`, the number of ids divides
by 4; how many pairs there were is not known. A pair is one query (n = 0) and its reference (n = 1) here.
"""

from __future__ import annotations

import dataclasses
import os
from typing import NamedTuple, Optional

from encore.data.augment.draws import Draws
from encore.data.image_source import open_source
from encore.data.images import RejectedImage, decode_image
from encore.data.shard_writing import Rejected, write_data_set
from encore.metrics.predictions import PairIds, read_ground_truth
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.systems.isc.generation import augment_once
from encore.systems.isc.training_set import ChainParameters
from encore.systems.isc_track1.divisible import surplus

SYSTEM = "isc_track1"


@dataclasses.dataclass(frozen=True)
class HeldOutPairs:
    """How pairs are made when none are given: each picture, and one augmented copy of it."""

    chain: ChainParameters
    quality: int = limited(low=1, high=100)
    seed: int = limited(low=0)
    """Held out: pairs draw from addresses of their own, so no copy of a training set is met again."""


@dataclasses.dataclass(frozen=True)
class PairParameters:
    """Parameters of the stage `pairs`: exactly one of `ground_truth` and `held_out` is given."""

    queries: str = limited()
    """The queries of the given pairs, or the pictures that pairs are made of."""
    references: str = limited()
    """The references of the given pairs."""
    ground_truth: Optional[str] = limited()
    """CSV query_id,reference_id of the given pairs (published: the public 4,991 of phase 1)."""
    held_out: Optional[HeldOutPairs] = limited()
    workers: int = limited(low=1, high=1024)
    pairs_per_shard: int = limited(low=1)

    def recipe(self):
        """What decides the result: everything but how the work is spread."""
        values = dataclasses.asdict(self)
        del values["workers"]
        if self.held_out is not None:
            values["held_out"]["chain"] = self.held_out.chain.recipe_values()
        return values


class PairsWritten(NamedTuple):
    """What the data set holds."""

    images: int
    pairs: int
    dropped: int
    """Pairs that were left out, the last ones, so that the number of classes divides by 4."""
    bytes: int


def write_pairs(folder, parameters, digest):
    """Write the data set `pairs` into `folder` -> PairsWritten.

    Given pairs are numbered in the order of (query id, reference id) and keep the bytes of their files; made
    ones follow the order of the pictures. Raises Refusal for a picture that is missing or cannot be read, and
    for fewer than 4 pairs.
    """
    if (parameters.held_out is None) == (parameters.ground_truth is None):
        raise Refusal(
            "isc_track1.pairs: give either ground_truth (pairs are given) or held_out (they are made)"
        )
    queries = open_source(parameters.queries)
    if parameters.held_out is None:
        pairs, make_worker = _given(queries, parameters)
    else:
        pairs, make_worker = list(range(len(queries))), _maker(queries, parameters.held_out)
    dropped = surplus(len(pairs))
    kept = list(enumerate(pairs[: len(pairs) - dropped]))
    if not kept:
        raise Refusal("isc_track1.pairs: {} pairs, expected at least 4: add pairs".format(len(pairs)))
    step = parameters.pairs_per_shard
    units = [kept[start : start + step] for start in range(0, len(kept), step)]
    manifest = write_data_set(folder, units, make_worker, parameters.workers, digest, 0, "pair shards")
    return PairsWritten(manifest.count, manifest.classes, dropped, manifest.bytes)


def _given(queries, parameters):
    """[(position of the query, position of the reference)] and what makes the worker that copies them."""
    references = open_source(parameters.references)
    ids = PairIds()
    truth = read_ground_truth(parameters.ground_truth, ids)
    named = sorted(
        {(ids.queries.names[q], ids.references.names[r]) for q, r in zip(truth.query, truth.reference)}
    )
    places = [_places(source) for source in (queries, references)]
    for pair in named:
        for name, kind, found in zip(pair, ("query", "reference"), places):
            if name not in found:
                raise Refusal(
                    "{}: the {} {} is not among the pictures: take the ground truth of these pictures".format(
                        parameters.ground_truth, kind, name
                    )
                )
    pairs = [tuple(found[name] for name, found in zip(pair, places)) for pair in named]
    return pairs, lambda: lambda unit: _copied(queries, references, unit)


def _places(source):
    return {os.path.splitext(name)[0]: position for position, name in enumerate(source.names)}


def _copied(queries, references, unit):
    for class_id, pair in unit:
        for number, (source, position) in enumerate(zip((queries, references), pair)):
            yield _plain(source, position, class_id, number)


def _plain(source, position, class_id, number):
    """The bytes of one picture under its name in the data set, or Rejected."""
    data = source.read(position)
    try:
        decode_image(data)
    except RejectedImage as error:
        return Rejected(source.names[position], error.reason)
    return "{}_{}{}".format(class_id, number, os.path.splitext(source.names[position])[1]), data, class_id


def _maker(queries, made):
    def make_worker():
        chain = made.chain.make()
        return lambda unit: _made(queries, chain, made, unit)

    return make_worker


def _made(queries, chain, made, unit):
    for class_id, position in unit:
        plain = _plain(queries, position, class_id, 0)
        yield plain
        if isinstance(plain, Rejected):
            continue
        draws = Draws(derive_seed(made.seed, SYSTEM, "pairs", queries.names[position]))
        copy = augment_once(decode_image(plain[1]), chain, draws, made.quality)
        yield "{}_1.jpg".format(class_id), copy, class_id
