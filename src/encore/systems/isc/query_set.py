"""The query set: given by the challenge, or made from references with a held-out seed where none is given."""

from __future__ import annotations

import dataclasses
import os
import random
from typing import Optional

from encore.data.augment.draws import Draws
from encore.data.image_source import open_source
from encore.data.images import RejectedImage, decode_image
from encore.data.shard_writing import Rejected, write_data_set
from encore.metrics.predictions import PairIds, read_ground_truth, write_ground_truth
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.systems.isc.generation import augment_once
from encore.systems.isc.training_set import ChainParameters

GROUND_TRUTH = "ground_truth.csv"


@dataclasses.dataclass(frozen=True)
class HeldOutQueries:
    """How queries are made when none are given."""

    chain: ChainParameters
    quality: int = limited(low=1, high=100)
    per_reference: int = limited(low=1)
    per_distractor: int = limited(low=0)
    """Queries without a match, made from each picture of `distractors`."""
    seed: int = limited(low=0)
    """Held out: queries draw from addresses of their own, so no copy of the training set is met again."""

    def maker(self):
        """(picture, seed) -> bytes of a query's JPEG, or Rejected; ready to use in this process."""
        chain = self.chain.make()
        return lambda picture, seed: augment_once(picture, chain, Draws(seed), self.quality)


@dataclasses.dataclass(frozen=True)
class QueryParameters:
    """Parameters of the stage `queries`: with `held_out` null, queries and truth are taken as given."""

    images: str = limited()
    """The given queries, or the distractors that queries without a match are made of."""
    references: str = limited()
    workers: int = limited(low=1, high=1024)
    images_per_shard: int = limited(low=1)
    max_rejected: int = limited(low=0)
    ground_truth: Optional[str] = limited(None)
    """CSV query_id,reference_id of given queries."""
    held_out: Optional[HeldOutQueries] = limited(None)

    def recipe(self):
        """What decides the result: everything but how the work is spread and what is tolerated."""
        values = {
            key: value
            for key, value in dataclasses.asdict(self).items()
            if key not in ("workers", "max_rejected")
        }
        if self.held_out is not None:
            values["held_out"]["chain"] = self.held_out.chain.recipe_values()
        return values


def write_query_set(folder, parameters, digest, system):
    """Write queries and `ground_truth.csv` into `folder`; returns the Manifest.

    `system`: part of the address of every draw.
    """
    if (parameters.held_out is None) == (parameters.ground_truth is None):
        raise Refusal(
            "{}.queries: give either ground_truth (queries are given) or held_out (they are made)".format(
                system
            )
        )
    if parameters.held_out is None:
        return _given(folder, parameters, digest)
    return _made(folder, parameters, digest, system)


def _given(folder, parameters, digest):
    source = open_source(parameters.images)
    units = _chunks(range(len(source)), parameters.images_per_shard)
    manifest = write_data_set(
        folder,
        units,
        lambda: lambda unit: _copied(source, unit),
        parameters.workers,
        digest,
        parameters.max_rejected,
        "query shards",
    )
    _write_truth(folder, _read_pairs(parameters.ground_truth, {os.path.splitext(n)[0] for n in source.names}))
    return manifest


def _copied(source, positions):
    for position in positions:
        data = source.read(position)
        try:
            decode_image(data)
        except RejectedImage as error:
            yield Rejected(source.names[position], error.reason)
        else:
            yield source.names[position], data, position


def _read_pairs(path, queries):
    ids = PairIds()
    truth = read_ground_truth(path, ids)
    matched = [(ids.queries.names[q], ids.references.names[r]) for q, r in zip(truth.query, truth.reference)]
    unknown = sorted({query for query, _ in matched} - queries)
    if unknown:
        raise Refusal(
            "{}: the query {} is not among the query pictures: take this query set's ground truth".format(
                path, unknown[0]
            )
        )
    labelled = {ids.queries.names[q] for q in truth.labelled}
    return sorted(matched + [(query, "") for query in labelled - {query for query, _ in matched}])


def _made(folder, parameters, digest, system):
    made = parameters.held_out
    references, distractors = open_source(parameters.references), open_source(parameters.images)
    plan = [("reference", i, copy) for i in range(len(references)) for copy in range(made.per_reference)]
    plan += [("distractor", i, copy) for i in range(len(distractors)) for copy in range(made.per_distractor)]
    # Shuffled, so that a query's number says nothing about its match.
    random.Random(derive_seed(made.seed, system, "queries", "order")).shuffle(plan)
    sources = {"reference": references, "distractor": distractors}
    numbered = [("Q{:05d}".format(number),) + entry for number, entry in enumerate(plan)]

    def make_worker():
        make = made.maker()
        return lambda unit: [
            _augmented(sources[kind], make, made.seed, system, query, kind, i, copy)
            for query, kind, i, copy in unit
        ]

    manifest = write_data_set(
        folder,
        _chunks(numbered, parameters.images_per_shard),
        make_worker,
        parameters.workers,
        digest,
        parameters.max_rejected,
        "query shards",
    )
    _write_truth(
        folder,
        [
            (query, os.path.splitext(references.names[i])[0] if kind == "reference" else "")
            for query, kind, i, _ in numbered
        ],
    )
    return manifest


def _augmented(source, make, seed, system, query, kind, i, copy):
    try:
        picture = decode_image(source.read(i))
    except RejectedImage as error:
        return Rejected(source.names[i], error.reason)
    seed = derive_seed(seed, system, "queries", kind, source.names[i], copy)
    return query + ".jpg", make(picture, seed), int(query[1:])


def _write_truth(folder, pairs):
    write_ground_truth(
        os.path.join(str(folder), GROUND_TRUTH),
        [query for query, _ in pairs],
        [reference for _, reference in pairs],
    )


def _chunks(entries, size):
    entries = list(entries)
    return [entries[start : start + size] for start in range(0, len(entries), size)]
