"""The augmented queries of a query set as a data set, with the lists that later stages read."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass
from typing import Optional, Tuple

import numpy as np

from encore.data.images import RejectedImage
from encore.data.manifest import read_index
from encore.data.shard_writing import Rejected, write_data_set
from encore.data.shards import ShardSet
from encore.detection.detections import Detections
from encore.metrics.predictions import GROUND_TRUTH_HEADER, PairIds, read_ground_truth
from encore.runtime.atomic import replacing
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.systems.isc.query_set import GROUND_TRUTH
from encore.systems.isc_track1.file_lists import QUERY_LIST, write_query_list
from encore.systems.isc_track1.query_crops import (
    FIRST_DETECTION,
    FIRST_PROPOSAL,
    ProposalParameters,
    augmented_query,
)
from encore.systems.isc_track1.small_queries import PUBLISHED, write_small_queries


@dataclass(frozen=True)
class CropQueriesParameters:
    """Parameters of the stage `crop_queries`; defaults are the published values."""

    workers: int = limited(low=1, high=1024)
    queries_per_shard: int = limited(low=1)
    max_rejected: int = limited(low=0)
    detections: Optional[str] = limited()
    """folder of the detections of the query set; null: none"""
    selective_search: Optional[ProposalParameters] = limited()
    """null: no proposals"""
    every: int = limited(1, low=1)
    """take every n-th query only"""
    small: Tuple[int, int, int] = limited(PUBLISHED, low=1)
    """what stands for the published sides 100, 150 and 200 of too small queries, pixels"""

    def __post_init__(self):
        if list(self.small) != sorted(set(self.small)):
            raise Refusal("small: expected three growing sides, found {}".format(list(self.small)))

    def chosen(self, queries):
        """Positions of the queries that are taken, of the picture source `queries`: a range."""
        return range(0, len(queries), self.every)

    def recipe(self):
        """What decides the result: everything but how the work is spread and what is tolerated."""
        return {key: value for key, value in asdict(self).items() if key not in ("workers", "max_rejected")}


@dataclass(frozen=True)
class AugmentedQueries:
    """What was made: numbers of pictures, and of small ones by published side."""

    queries: int
    augmented: int
    proposals: int
    detections: int
    small: dict


def open_detections(parameters, queries):
    """The Detections of the picture source `queries`, or None; Refusal if they are of other pictures."""
    if parameters.detections is None:
        return None
    found = Detections.open(parameters.detections)
    found.refuse_strangers(queries.names)
    return found


def detections_digest(found, queries):
    """SHA-256 over names and detections of all queries; of none: "none"."""
    if found is None:
        return "none"
    digest = hashlib.sha256(str(found.size).encode("ascii"))
    for name in queries.names:
        rows = np.asarray(found.of(name), dtype=np.float64)
        digest.update("{} {}\n".format(name, len(rows)).encode("utf-8") + rows.tobytes())
    return digest.hexdigest()


def write_augmented_queries(folder, queries, parameters, found, recipe_digest):
    """Write the augmented queries of the data set folder `queries` into `folder`; returns AugmentedQueries.

    Beside the pictures: `dev_queries_exp_VD`, `query_wrong_{100,150,200}_VD.npy`, and `ground_truth.csv`, the
    lines of the chosen queries. The label of a picture is its query's position in `queries`. found:
    Detections or None. A query that the published scripts stop at is rejected whole.
    """
    source = ShardSet(queries)
    _check_names(source)
    chosen = parameters.chosen(source)
    units = [
        (number, chosen[start : start + parameters.queries_per_shard])
        for number, start in enumerate(range(0, len(chosen), parameters.queries_per_shard))
    ]

    def make_worker():
        return lambda unit: _augmented(folder, source, parameters, found, *unit)

    manifest = write_data_set(
        folder,
        units,
        make_worker,
        parameters.workers,
        recipe_digest,
        parameters.max_rejected,
        "shards of augmented queries",
    )
    _write_truth(folder, queries, [source.names[i] for i in chosen])
    return _write_lists(folder, manifest, len(chosen), parameters.small)


def _check_names(source):
    """Refuse names whose last 4 characters are not an extension, and two that differ in it alone."""
    seen = set()
    for name in source.names:
        if len(name) < 5 or name[-4] != "." or name[:-4] in seen:
            raise Refusal(
                "{}: {}: expected names that differ before an extension of 3 letters: rename it".format(
                    source.folder, name
                )
            )
        seen.add(name[:-4])


def _augmented(folder, source, parameters, found, number, positions):
    sizes = []
    for position in positions:
        name = source.names[position]
        rows, frame = (None, None) if found is None else (found.of(name), found.size)
        try:
            pictures = augmented_query(name, source.read(position), parameters.selective_search, rows, frame)
        except RejectedImage as rejected:
            yield Rejected(name, rejected.reason)
            continue
        for picture in pictures:
            sizes.append(picture.size)
            yield picture.name, picture.file, position
    # Before the shard is finished: a shard that is kept has its sizes.
    with replacing(_sizes(folder, number)) as file:
        np.save(file, np.array(sizes, dtype=np.int32).reshape(-1, 2), allow_pickle=False)


def _write_lists(folder, manifest, queries, sides):
    """The lists of names and of small queries; returns AugmentedQueries."""
    files = [_sizes(folder, number) for number in range(len(manifest.shards))]
    sizes = np.concatenate([np.load(file, allow_pickle=False) for file in files])
    names = [
        name.decode("utf-8")
        for shard in manifest.shards
        for name in read_index(os.path.join(str(folder), shard.index))["name"].tolist()
    ]
    if len(names) != len(sizes):
        raise RuntimeError("{}: {} pictures, {} sizes".format(folder, len(names), len(sizes)))
    write_query_list(os.path.join(str(folder), QUERY_LIST), names)
    small = write_small_queries(folder, names, sizes, sides)
    for file in files:
        os.unlink(file)
    suffixes = np.array([int(name[: -len(".jpg")].rsplit("_", 1)[1]) for name in names], dtype=np.int64)
    return AugmentedQueries(
        queries=queries,
        augmented=len(names),
        proposals=int(((suffixes >= FIRST_PROPOSAL) & (suffixes < FIRST_DETECTION)).sum()),
        detections=int((suffixes >= FIRST_DETECTION).sum()),
        small=small,
    )


def _write_truth(folder, queries, names):
    """The lines of the ground truth of `queries` that concern the queries called `names`."""
    path = os.path.join(str(queries), GROUND_TRUTH)
    if not os.path.isfile(path):
        raise Refusal("{}: missing: make the query set again".format(path))
    read_ground_truth(path, PairIds())  # refuses what is no ground truth
    chosen, header = {name[:-4].encode("utf-8") for name in names}, GROUND_TRUTH_HEADER
    with open(path, "rb") as file:
        lines = file.read().splitlines()
    kept = [line for line in lines if line != header and line.split(b",", 1)[0] in chosen]
    with replacing(os.path.join(str(folder), GROUND_TRUTH)) as file:
        file.write(b"\n".join([header] + kept) + b"\n")


def _sizes(folder, number):
    return os.path.join(str(folder), "sizes-{:05d}.npy".format(number))
