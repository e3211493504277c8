"""Searches whose queries are cut into blocks for `map_units`: the same bits as the search in one piece."""

from __future__ import annotations

import hashlib
import os

import numpy as np

from encore.runtime.atomic import replacing
from encore.runtime.progress import progress
from encore.runtime.shard_map import map_units
from encore.runtime.unit_needs import THREADS
from encore.search import capped, nearest
from encore.search.products import QUERY_TILE, HostProducts
from encore.search.tiling import rows_of


class SearchHere:
    """The searches in this process."""

    def best_pairs(self, queries, references, count):
        """`capped.best_pairs` by falling score, minus the squared L2 distance."""
        return capped.best_pairs(queries, references, count)

    def nearest(self, queries, references, k, metric="inner_product"):
        """`nearest.nearest`."""
        return nearest.nearest(queries, references, k, metric)


class SpreadSearch:
    """The same searches over blocks of `height` queries, a multiple of QUERY_TILE.

    Descriptors go to the processes through files in `folder`, which every process sees, and results come back
    so; a block that a killed run has searched is kept. Files are named after what they are made of.
    """

    def __init__(self, folder, height=QUERY_TILE):
        if height % QUERY_TILE:
            raise ValueError(
                "a block of {} queries does not end with a tile of {}".format(height, QUERY_TILE)
            )
        self.folder, self.height = str(folder), height
        os.makedirs(self.folder, exist_ok=True)

    def best_pairs(self, queries, references, count):
        """As SearchHere.best_pairs."""

        def search(block, known):
            pairs = capped.best_pairs(block, known, count)
            return pairs.query, pairs.reference, pairs.score

        held = capped.HeldPairs(count, len(references))
        for first, (query, reference, score) in self._blocks(
            "pairs{}".format(count), search, queries, references
        ):
            held.add(query + first, reference, score)
        return held.best("score")

    def nearest(self, queries, references, k, metric="inner_product"):
        """As SearchHere.nearest."""

        def search(block, known):
            return nearest.nearest(block, known, k, products=HostProducts(metric))

        found = [parts for _, parts in self._blocks("{}{}".format(metric, k), search, queries, references)]
        if not found:
            return nearest.nearest(queries, references, k, metric)
        score, index = (np.concatenate(column) for column in zip(*found))
        return score, index

    def _blocks(self, name, search, queries, references):
        """(first query, arrays that `search` gives of the block) for every block, in order; one is in memory
        at a time."""
        query_path, reference_path = self._stored(queries), self._stored(references)
        made_of = hashlib.sha256((query_path + reference_path).encode("utf-8")).hexdigest()[:16]
        firsts = range(0, len(queries), self.height)
        paths = {
            first: os.path.join(self.folder, "{}-{}-{}.npz".format(name, made_of, first)) for first in firsts
        }
        height = self.height

        def make_worker():
            asked = np.load(query_path, mmap_mode="r", allow_pickle=False)
            known = rows_of(np.load(reference_path, mmap_mode="r", allow_pickle=False), "reference")

            def write(first):
                arrays = search(asked[first : first + height], known)
                with replacing(paths[first]) as file:
                    np.savez(file, *arrays)

            return write

        missing = [first for first in firsts if not os.path.exists(paths[first])]
        work = map_units(make_worker, missing, 1, THREADS, [self.folder])
        for _ in progress(work, len(missing), "blocks of queries"):
            pass
        for first in firsts:
            with np.load(paths[first], allow_pickle=False) as arrays:
                yield first, [arrays[key] for key in sorted(arrays.files)]

    def _stored(self, vectors):
        """The file that holds `vectors`, float32 (n, d), written if it is not there."""
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        digest = hashlib.sha256("{}".format(vectors.shape).encode("ascii"))
        digest.update(vectors)
        path = os.path.join(self.folder, "vectors-{}.npy".format(digest.hexdigest()[:16]))
        if not os.path.exists(path):
            with replacing(path) as file:
                np.save(file, vectors, allow_pickle=False)
        return path
