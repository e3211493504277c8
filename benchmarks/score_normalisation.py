"""Score normalisation and the global search against the matrix products that they cannot do without.

`python -m benchmarks.score_normalisation` prints JSON. Both take their turns in one process, so with the same
number of threads; a product of the descriptors with the training descriptors and one with the references is
all that the bare run does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np

from encore.search.products import QUERY_TILE, REFERENCE_TILE
from encore.search.score_normalisation import PUBLISHED, normalised_pairs

QUERIES, REFERENCES, TRAINING, WIDTH, RESULTS = 20_000, 200_000, 20_000, 256, 1_000_000
RUNS = 2


def descriptors(count, width, seed):
    """float32 (count, width) unit vectors around some hundred centres, so that scores differ as those of
    pictures do."""
    random = np.random.RandomState(seed)
    centres = np.random.RandomState(7).standard_normal((300, width)).astype(np.float32)
    vectors = random.standard_normal((count, width)).astype(np.float32)
    vectors += centres[random.randint(0, len(centres), count)] * random.rand(count, 1).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def bare_products(queries, others):
    """All inner products of both sets, each forgotten at once."""
    products = np.empty((QUERY_TILE, REFERENCE_TILE), dtype=np.float32)
    for first in range(0, len(queries), QUERY_TILE):
        rows = queries[first : first + QUERY_TILE]
        for start in range(0, len(others), REFERENCE_TILE):
            columns = others[start : start + REFERENCE_TILE]
            whole = products.shape == (len(rows), len(columns))
            np.dot(rows, columns.T, out=products if whole else None)


def measure(queries, references, training, width, results, runs):
    """Print the figures of `run`; in a process of its own, so that its memory is its own."""
    query, reference, train = (
        descriptors(count, width, seed) for seed, count in enumerate((queries, references, training))
    )
    bare, ours = [], []
    for _ in range(runs):
        began = time.perf_counter()
        bare_products(query, train)
        bare_products(query, reference)
        bare.append(time.perf_counter() - began)
        began = time.perf_counter()
        norms = PUBLISHED.norms(query, train)
        found = normalised_pairs(query, reference, norms, results)
        ours.append(time.perf_counter() - began)
    with open("/proc/self/status", encoding="ascii") as file:
        peak = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    figures = {
        "ratio": min(ours) / min(bare),
        "seconds": min(ours),
        "seconds_bare_products": min(bare),
        "peak_memory_bytes": peak,
        "pairs": len(found),
        "multiply_adds_per_second": len(query) * (len(train) + len(reference)) * query.shape[1] / min(bare),
    }
    print(json.dumps(figures))


def run():
    """{ratio, seconds, seconds_bare_products, peak_memory_bytes, pairs} and the sizes."""
    sizes = (QUERIES, REFERENCES, TRAINING, WIDTH, RESULTS, RUNS)
    output = subprocess.check_output(
        [sys.executable, "-m", "benchmarks.score_normalisation"] + [str(size) for size in sizes]
    )
    names = ("queries", "references", "training", "width", "results", "runs")
    return dict(json.loads(output.decode("ascii")), **dict(zip(names, sizes)))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(*map(int, sys.argv[1:]))
    else:
        print(json.dumps(run(), indent=1, sort_keys=True))
