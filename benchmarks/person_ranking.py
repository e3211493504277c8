"""Rank-k and mAP of person retrieval at Market-1501's size, and of 10,000 queries in 100,000 pictures.

Market: 3,368 queries, 15,913 gallery pictures, the scores given; the literal side ranks one query after the
other by a full sort, as the published evaluation does. The product of the features is reported apart. The
large gallery is ranked a chunk of queries at a time, once with half of its pictures, to see that time grows
with the pairs. `python -m benchmarks.person_ranking` prints JSON.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import tracemalloc

import numpy as np

QUERIES, GALLERY, IDENTITIES, BACKGROUND, WIDTH = 3368, 15913, 750, 2800, 2048
LARGE_QUERIES, LARGE_GALLERY, LARGE_WIDTH, CHUNK = 10_000, 100_000, 64, 128
RUNS = 5


def people(queries, gallery, identities, background, width, seed=0):
    """(features float32 (q, width), labels, cameras of the queries, the same of the gallery); `background`
    gallery pictures have label 0."""
    random = np.random.RandomState(seed)
    centres = random.standard_normal((identities + 1, width)).astype(np.float32)
    sides = []
    for count in (queries, gallery):
        labels = random.randint(1, identities + 1, count)
        if count == gallery:
            labels[random.permutation(count)[:background]] = 0
        features = random.standard_normal((count, width)).astype(np.float32)
        features *= 4
        features += centres[labels] * (labels > 0)[:, None]
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        sides += [features, labels, random.randint(1, 7, count)]
    return sides


def literal(scores, query_labels, query_cameras, gallery_labels, gallery_cameras):
    """(rank-1, mAP) by the published protocol, one query at a time."""
    cmc, total = np.zeros(len(gallery_labels)), 0.0
    for row, label, camera in zip(scores, query_labels, query_cameras):
        order = np.argsort(row)[::-1]
        same, same_camera = np.flatnonzero(gallery_labels == label), np.flatnonzero(gallery_cameras == camera)
        good = np.setdiff1d(same, same_camera)
        junk = np.append(np.flatnonzero(gallery_labels == -1), np.intersect1d(same, same_camera))
        if not len(good):
            continue
        order = order[np.isin(order, junk, invert=True)]
        places = np.flatnonzero(np.isin(order, good))
        cmc[places[0] :] += 1
        for i, place in enumerate(places):
            before = i / place if place else 1.0
            total += (before + (i + 1) / (place + 1)) / 2 / len(places)
    return cmc[0] / len(scores), total / len(scores)


def _clock(work, *arguments, **named):
    began = time.perf_counter()
    result = work(*arguments, **named)
    return time.perf_counter() - began, result


def market(queries, gallery, identities, background, width, runs):
    """Figures of the Market-sized gallery; in a process of its own, so that its memory is its own."""
    from encore.metrics.person_ranking import market_ranking

    query, query_labels, query_cameras, others, gallery_labels, gallery_cameras = people(
        queries, gallery, identities, background, width
    )
    products, scores = _clock(np.dot, query, others.T)
    arguments = scores, query_labels, query_cameras, gallery_labels, gallery_cameras
    tracemalloc.start()
    market_ranking(*arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    ours, torchreid, loop, processor = [], [], [], []
    for _ in range(runs):  # in turns, so that a busy moment does not fall on one side alone
        began = time.process_time()
        seconds, found = _clock(market_ranking, *arguments)
        processor.append(time.process_time() - began)
        ours.append(seconds)
        torchreid.append(_clock(market_ranking, *arguments, protocol="torchreid")[0])
        if len(loop) < 2:
            seconds, expected = _clock(literal, *arguments)
            loop.append(seconds)
    return {
        "seconds": min(ours),
        "median_seconds": statistics.median(ours),
        "processor_seconds": min(processor),
        "seconds_torchreid": min(torchreid),
        "seconds_literal": min(loop),
        "ratio": min(loop) / min(ours),
        "seconds_product": products,
        "peak_bytes_beyond_scores": peak,
        "rank1": found.rank(1),
        "mean_average_precision": found.mean_average_precision,
        "left_out": found.left_out,
        "difference_of_rank1": abs(found.rank(1) - expected[0]),
        "difference_of_mean_average_precision": abs(found.mean_average_precision - expected[1]),
    }


def large(queries, gallery, width, chunk):
    """Figures of the large gallery, ranked a chunk at a time; some fourteen pictures an identity."""
    from encore.metrics.person_ranking import RankingAccumulator

    identities = gallery // 16
    query, query_labels, query_cameras, others, gallery_labels, gallery_cameras = people(
        queries, gallery, identities, gallery // 6, width
    )
    accumulator = RankingAccumulator(gallery_labels, gallery_cameras)
    before, peak, ranking, products, processor = _memory("VmRSS"), 0, 0.0, 0.0, 0.0
    block = np.empty((chunk, gallery), dtype=np.float32)
    for first in range(0, queries, chunk):
        last = min(first + chunk, queries)
        scores = block[: last - first]
        products += _clock(np.dot, query[first:last], others.T, scores)[0]
        began = time.process_time()
        ranking += _clock(accumulator.add, scores, query_labels[first:last], query_cameras[first:last])[0]
        processor += time.process_time() - began
        peak = max(peak, _memory("VmRSS") - before)
    return {
        "seconds": ranking,
        "processor_seconds": processor,
        "seconds_product": products,
        "peak_bytes": peak,
        "chunk_bytes": block.nbytes,
        "mean_average_precision": accumulator.ranking().mean_average_precision,
    }


def _memory(entry):
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(entry))


def _apart(name, *sizes):
    output = subprocess.check_output(
        [sys.executable, "-m", "benchmarks.person_ranking", name] + [str(size) for size in sizes]
    )
    return json.loads(output.decode("ascii"))


def run():
    """Flat dict: seconds of both sides, their ratio (literal over encore), memory, and the large gallery."""
    figures = _apart("market", QUERIES, GALLERY, IDENTITIES, BACKGROUND, WIDTH, RUNS)
    half, whole = (
        _apart("large", LARGE_QUERIES, size, LARGE_WIDTH, CHUNK)
        for size in (LARGE_GALLERY // 2, LARGE_GALLERY)
    )
    figures.update({"large_" + name: value for name, value in whole.items()})
    figures["large_memory_over_chunk"] = whole["peak_bytes"] / whole["chunk_bytes"]
    figures["growth_of_twice_the_gallery"] = whole["processor_seconds"] / half["processor_seconds"]
    return figures


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps({"market": market, "large": large}[sys.argv[1]](*map(int, sys.argv[2:]))))
    else:
        print(json.dumps(run(), indent=1, sort_keys=True))
