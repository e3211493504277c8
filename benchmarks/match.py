"""`encore match` with a million references: the search over kept descriptors, and the memory that it needs.

1,000 queries meet 250,000 and 1,000,000 references of 256 numbers, kept in shards on disk as a run keeps them
(1 GB), each in a process of its own; names, search, and the files of the result are measured.
`python -m benchmarks.match` prints JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

QUERIES, REFERENCES, WIDTH, TOP = 1000, 1_000_000, 256, 5
PLANTED = 0.9
"""Similarity of each query to one reference, its copy."""


def write_kept(folder, listing, width, seed, near=None):
    """Write the shards of a listing, random unit vectors; row i * 7 is near row i of `near`."""
    from encore.systems.matching.kept_descriptors import KeptDescriptors, Shard

    random, shards = np.random.RandomState(seed), []
    for number, (first, last) in enumerate(listing.shards()):
        vectors = random.standard_normal((last - first, width)).astype(np.float32)
        for row in range(-(-first // 7) * 7, last, 7):
            if near is not None and row // 7 < len(near):
                vectors[row - first] = near[row // 7] * PLANTED * np.sqrt(width) + 0.4 * vectors[row - first]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        shards.append(Shard(first, last, os.path.join(folder, "{}.npz".format(number))))
        if not os.path.exists(shards[-1].path):
            with open(shards[-1].path, "wb") as file:
                np.savez(
                    file, vectors=vectors, rejected=np.empty(0, np.int64), reasons=np.empty(0, dtype="U1")
                )
    return KeptDescriptors(shards, width)


def listing_of(count, letter):
    from encore.systems.matching.picture_listing import PictureListing

    names = [b"%s%06d.jpg" % (letter, i) for i in range(count)]
    return PictureListing("/", names, [0] * count, [0] * count, [True] * count)


def measure(folder, queries, references, width, top):
    """Print the figures of one size; the first call writes the sets, and measures nothing."""
    from encore.systems.matching.match_files import write_matches
    from encore.systems.matching.matches import MatchRecipe, match

    for name in ("q", "r"):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    asked = listing_of(queries, b"Q")
    query = write_kept(os.path.join(folder, "q"), asked, width, 1)
    before = _peak()
    began = time.perf_counter()
    known = listing_of(references, b"R")
    if not os.path.exists(os.path.join(folder, "whole")):
        write_kept(os.path.join(folder, "r"), known, width, 2, query.read(0, queries))
        open(os.path.join(folder, "whole"), "w").close()
        return
    reference = opened(os.path.join(folder, "r"), known, width)
    references = len(reference.places)
    listed = time.perf_counter()
    found = match(query, reference, MatchRecipe(top))
    searched = time.perf_counter()
    write_matches(os.path.join(folder, "matches.csv"), found, (asked, query), (known, reference))
    best = {}
    for row, place in zip(found.pairs.query.tolist(), found.pairs.reference.tolist()):
        best.setdefault(row, place)
    print(
        json.dumps(
            {
                "seconds_names": listed - began,
                "seconds_search": searched - listed,
                "peak_memory_bytes": _peak(),
                "peak_memory_growth_bytes": _peak() - before,
                "copies_missed": sum(7 * row < references and best[row] != 7 * row for row in best),
            }
        )
    )


def opened(folder, listing, width):
    """The KeptDescriptors of the first shards in a folder, as far as they hold pictures of the listing
    only."""
    from encore.systems.matching.kept_descriptors import KeptDescriptors, Shard

    cuts = listing.shards()
    written = len(os.listdir(folder))
    shards = [
        Shard(first, last, os.path.join(folder, "{}.npz".format(number)))
        for number, (first, last) in enumerate(cuts if len(cuts) == written else cuts[:-1])
    ]
    return KeptDescriptors(shards, width)


def _peak():
    """Of this process alone; getrusage would count what the process was that started it."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def run(queries=QUERIES, references=REFERENCES, width=WIDTH, top=TOP):
    """Figures of the whole size, and `memory_for_four_times_the_references`, peak over that of a quarter."""
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for count in (references, references // 4, references):  # the first writes
            output = subprocess.check_output(
                [sys.executable, "-m", "benchmarks.match", folder]
                + [str(number) for number in (queries, count, width, top)],
                stderr=subprocess.DEVNULL,
            )
            figures.append(json.loads(output.decode("ascii") or "{}"))
    _, quarter, whole = figures
    return dict(
        whole,
        queries=queries,
        references=references,
        width=width,
        top=top,
        seconds_search_quarter=quarter["seconds_search"],
        peak_memory_bytes_quarter=quarter["peak_memory_bytes"],
        memory_for_four_times_the_references=whole["peak_memory_bytes"] / quarter["peak_memory_bytes"],
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], *map(int, sys.argv[2:]))
    else:
        print(json.dumps(run(), indent=1, sort_keys=True))
