"""The crop of overlaid queries before extraction: one picture in, one picture out, pluggable by name.

The published run detects pictures that were pasted on another one and crops to them, one crop a query, and
keeps the original where nothing is found.
"""

from __future__ import annotations

import dataclasses
import os
import shutil

from encore.data.shard_writing import write_data_set
from encore.data.shards import ShardSet
from encore.systems.isc.query_set import GROUND_TRUTH

IMAGES_PER_SHARD = 10000


def keep_original(data):
    """The detector `none`: every query stays as it is, byte for byte."""
    return data


CROPPERS = {"none": keep_original}


@dataclasses.dataclass(frozen=True)
class CroppedQueries:
    """How many queries there are and how many the detector changed."""

    queries: int
    changed: int


def crop_query_set(queries, folder, crop, digest):
    """Write the data set `queries` to `folder` with `crop(bytes) -> bytes` applied, and its ground truth."""
    source = ShardSet(queries)
    units = [
        range(start, min(start + IMAGES_PER_SHARD, len(source)))
        for start in range(0, len(source), IMAGES_PER_SHARD)
    ]

    def make_worker():
        return lambda unit: [(source.names[i], crop(source.read(i)), int(source.labels[i])) for i in unit]

    write_data_set(folder, units, make_worker, 1, digest, 0, "crop queries")
    shutil.copyfile(os.path.join(str(queries), GROUND_TRUTH), os.path.join(str(folder), GROUND_TRUTH))
    result = ShardSet(folder)
    changed = sum(source.read(i) != result.read(i) for i in range(len(source)))
    return CroppedQueries(queries=len(source), changed=changed)
