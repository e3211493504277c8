"""A data set opened, and one picture of each shard read, as training in a random order does before long."""

from __future__ import annotations

from benchmarks.growth.subjects import half_decades
from benchmarks.growth.subjects.generation import PER_OBJECT as PER_SHARD
from benchmarks.growth.subjects.manifest_check import prepare

OF = "pictures"
SIZES, SHORT = half_decades(4, 7), (200, 600, 2000)
OUTPUT, PER_OBJECT = False, None
__all__ = ["OF", "OUTPUT", "PER_OBJECT", "SHORT", "SIZES", "prepare", "ready"]


def ready(folder, n):
    from encore.data.shards import ShardSet

    def work():
        pictures = ShardSet(folder)
        for i in range(0, len(pictures), PER_SHARD):
            pictures.read(i)
        return pictures

    return work
