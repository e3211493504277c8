"""k-reciprocal re-ranking at Market-1501's size against the common NumPy implementation.

3,368 queries, 15,913 gallery pictures, k1 20, k2 6, weight 0.3. The common implementation holds matrices of
all pairs: distances, a full sort, dense encodings. Both sides run in a process of their own, on the same
features: `seconds_*` from the distances on (given to both), `seconds_products_*` the matrix product of the
features apart. Where the memory does not hold the common one, both are measured at a smaller size, of the
same shares, which `scale` says. `python -m benchmarks.k_reciprocal` prints JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

QUERIES, GALLERY, IDENTITIES, WIDTH = 3368, 15913, 750, 256
K1, K2, WEIGHT = 20, 6, 0.3
LITERAL_BYTES_A_PAIR = 24
"""What the common implementation holds of every pair at its worst, at least: four float32 matrices, the sort
in int64."""


def people(queries, gallery, identities, width, seed=0):
    """(query, gallery) float32 unit vectors around `identities` centres, as many pictures each as Market has;
    a sixth of the gallery belongs to nobody."""
    random = np.random.RandomState(seed)
    centres = random.standard_normal((identities, width)).astype(np.float32)
    cameras = random.standard_normal((6, width)).astype(np.float32)
    vectors = 1.3 * random.standard_normal((queries + gallery, width)).astype(np.float32)
    vectors += 0.4 * cameras[random.randint(0, 6, len(vectors))]
    somebody = np.flatnonzero((np.arange(len(vectors)) < queries) | (random.rand(len(vectors)) > 1 / 6))
    vectors[somebody] += centres[random.randint(0, identities, len(somebody))]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors[:queries], vectors[queries:]


def squared_distances(features):
    """float32 (n, n): squared Euclidean distances, symmetric to the bit, exactly 0 on the diagonal."""
    squares = np.einsum("ij,ij->i", features, features, dtype=np.float64).astype(np.float32)
    distances = np.dot(features, features.T)
    distances *= -2
    for row, square in zip(distances, squares):
        row += square + squares
    np.maximum(distances, 0, out=distances)
    np.fill_diagonal(distances, 0)
    return distances


def reciprocal(ranking, i, k):
    """The k-reciprocal neighbours of picture i."""
    forward = ranking[i, : k + 1]
    backward = ranking[forward, : k + 1]
    return forward[np.where(backward == i)[0]]


def literal(distances, queries, k1=K1, k2=K2, weight=WEIGHT, sort="quicksort"):
    """The re-ranked distances float32 (q, g), from squared distances float32 (n, n) of all pictures, as the
    paper is commonly written down."""
    n = len(distances)
    distances = np.transpose(distances / np.max(distances, axis=0))
    encodings = np.zeros_like(distances, dtype=np.float32)
    ranking = np.argsort(distances, kind=sort).astype(np.int32)
    for i in range(n):
        near = expanded = reciprocal(ranking, i, k1)
        for candidate in near:
            theirs = reciprocal(ranking, candidate, int(np.around(k1 / 2)))
            if len(np.intersect1d(theirs, near)) > 2.0 / 3 * len(theirs):
                expanded = np.append(expanded, theirs)
        expanded = np.unique(expanded)
        weights = np.exp(-distances[i, expanded])
        encodings[i, expanded] = weights / np.sum(weights)
    distances = distances[:queries]
    if k2 != 1:
        averaged = np.zeros_like(encodings, dtype=np.float32)
        for i in range(n):
            averaged[i] = np.mean(encodings[ranking[i, :k2]], axis=0)
        encodings = averaged
    holders = [np.where(encodings[:, i] != 0)[0] for i in range(n)]
    jaccard = np.zeros_like(distances, dtype=np.float32)
    for i in range(queries):
        overlap = np.zeros((1, n), dtype=np.float32)
        for j in np.where(encodings[i] != 0)[0]:
            overlap[0, holders[j]] += np.minimum(encodings[i, j], encodings[holders[j], j])
        jaccard[i] = 1 - overlap / (2.0 - overlap)
    return (jaccard * (1 - weight) + distances * weight)[:, queries:]


def measure(side, queries, gallery, identities, width, out):
    """Print the figures of one side and save its distances as `out`; in a process of its own, so that its
    memory is its own."""
    from encore.search.k_reciprocal import KReciprocal

    query, gallery = people(queries, gallery, identities, width)
    before = _memory("VmRSS")
    figures = {}
    if side == "features":
        began = time.perf_counter()
        found = KReciprocal(K1, K2, WEIGHT).distances(query, gallery)
    else:
        began = time.perf_counter()
        distances = squared_distances(np.concatenate([query, gallery]))
        figures["products"] = time.perf_counter() - began
        began = time.perf_counter()
        if side == "literal":
            found = literal(distances, queries)
        else:
            parts = (
                distances[:queries, queries:],
                distances[:queries, :queries],
                distances[queries:, queries:],
            )
            found = KReciprocal(K1, K2, WEIGHT).from_distances(*parts)
    figures["seconds"] = time.perf_counter() - began
    figures["peak"] = _memory("VmHWM") - before
    np.save(out, found)
    print(json.dumps(figures))


def _memory(entry):
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(entry))


def _largest_scale():
    """The largest of 1, 1/2, 1/4 at which the common implementation fits into the memory that is free."""
    with open("/proc/meminfo", encoding="ascii") as file:
        free = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    wanted = LITERAL_BYTES_A_PAIR * (QUERIES + GALLERY) ** 2
    return next((s for s in (1, 2) if wanted / s**2 < 0.9 * free), 4)


def compare(literally, ours):
    """{rows whose order differs; by how much the common distance falls at most along our order, 0 where only
    equal ones change places; largest difference of distances}."""
    differing, fall = 0, 0.0
    for one, other in zip(literally, ours):
        ranked = one[np.argsort(other, kind="stable")]
        own_fall = float((np.maximum.accumulate(ranked) - ranked).max())
        differing += own_fall > 0
        fall = max(fall, own_fall)
    return {
        "differing_rankings": differing,
        "largest_fall": fall,
        "largest_difference": float(np.abs(literally - ours).max()),
    }


def run(scale=None, width=WIDTH):
    """Flat dict: seconds and peak bytes of both sides, ratios (common over encore), how the rankings
    differ."""
    scale = scale or _largest_scale()
    sizes = [QUERIES // scale, GALLERY // scale, IDENTITIES // scale, width]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in ("features", "given", "literal"):
            found[side] = json.loads(
                subprocess.check_output(
                    [sys.executable, "-m", "benchmarks.k_reciprocal", side]
                    + [str(size) for size in sizes]
                    + [os.path.join(folder, side + ".npy")]
                ).decode("ascii")
            )
        given, features, literally = (
            np.load(os.path.join(folder, side + ".npy"), mmap_mode="r")
            for side in ("given", "features", "literal")
        )
        figures = compare(literally, given)
        figures.update(
            {name + "_from_features": value for name, value in compare(literally, features).items()}
        )
    literal_in_all = found["literal"]["seconds"] + found["literal"]["products"]
    figures.update(
        scale=scale,
        queries=sizes[0],
        gallery=sizes[1],
        width=width,
        ratio=found["literal"]["seconds"] / found["given"]["seconds"],
        seconds_literal=found["literal"]["seconds"],
        seconds_encore=found["given"]["seconds"],
        seconds_product=found["literal"]["products"],
        ratio_from_features=literal_in_all / found["features"]["seconds"],
        seconds_encore_from_features=found["features"]["seconds"],
        peak_bytes_literal=found["literal"]["peak"],
        peak_bytes_encore_from_features=found["features"]["peak"],
    )
    return figures


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], *(int(size) for size in sys.argv[2:6]), out=sys.argv[6])
    else:
        print(json.dumps(run(), indent=1, sort_keys=True))
