"""The numbers of claims computed again from evidence files, without the metric files and without torch."""

from __future__ import annotations

from functools import lru_cache
from pathlib import PurePosixPath

import numpy as np

from encore.metrics.evidence.reading import read_evidence
from encore.runtime.refusal import Refusal

DRAWS, SEED = 1000, 0


def evidence_path(size, file):
    """Where the evidence of the metric `file` (below the size folder, with / between) lies."""
    path = PurePosixPath(file)
    if path.parts[:1] != ("metrics",) or path.suffix != ".json" or ".." in path.parts:
        raise Refusal(f"{file}: expected metrics/<system>/<stage>.json, only such a file has evidence")
    return size.folder.joinpath("evidence", *path.parts[1:]).with_suffix(".npz")


def recompute(size, claim):
    """The claim's number, from the evidence alone; raises as `number_of`."""
    return number_of(size, claim.metric.file, claim.metric.key)


def recompute_trivial(size, claim):
    """What is reached without training: the number that the claim states, or one from evidence; None for a
    claim without."""
    trivial = claim.trivial
    if trivial is None or trivial.file is None:
        return None if trivial is None else trivial.value
    return number_of(size, trivial.file, trivial.key)


def number_of(size, file, key):
    """The number `key` of the metric `file` of a size, from the evidence.

    NoEvidence, which is a FileNotFoundError and names file and key, where there is none; Refusal for a file
    that is broken.
    """
    path = evidence_path(size, file)
    return _read(path, _state(path)).number(key)


def interval(size, claim, level=0.95):
    """(low, high): the bootstrap percentile interval of the claim's number over queries, persons or pictures,
    of DRAWS draws; None where the evidence has nothing to draw from, or is not there for a side of a
    difference. Draws without a number are left out. NoEvidence without a file, Refusal for a broken one."""
    path = evidence_path(size, claim.metric.file)
    values = _drawn(path, _state(path)).get(claim.metric.key)
    if values is None or np.isnan(values).all():
        return None
    tail = 50 * (1 - level)
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)


def _state(path):
    """What changes when the file or one beside it is written again, for the caches; None without a file."""
    files = sorted(path.parent.rglob("*.npz")) if path.is_file() else []
    return tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


@lru_cache(maxsize=256)
def _read(path, _):
    return read_evidence(path)


@lru_cache(maxsize=256)
def _drawn(path, state):
    return _read(path, state).bootstrap(DRAWS, SEED)
