"""How fast the given hardware is: figures that were measured, each with where it comes from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from checks.size import PROJECT
from encore.runtime.refusal import Refusal

PUBLISHED = "published"
QUERY_CROPS = 1.42e6
"""Augmented queries of the published test: 28 chunks of 50,000 and a rest."""


@dataclass(frozen=True)
class Rate:
    """A speed and where it was measured; None: nobody measured it."""

    value: float | None
    source: str


@dataclass(frozen=True)
class Rates:
    """Speeds of one CPU core, and of one GPU in multiply-adds a second of the tasks."""

    generated: Rate
    """Generated pictures a second and core."""
    proposed: Rate
    """Pictures a second and core through selective search."""
    searched: Rate
    """Multiply-adds a second of the search, one device."""
    fused: Rate
    """Rows a second of vote and fusion, one process."""
    trained: Rate
    extracted: Rate


def read_rates(gpu_record=None, results=PROJECT / "benchmarks" / "results.json", anchors=None):
    """Rates from the record of `make bench` and, if given, of `make gpu-check`.

    `anchors`: {"trained", "extracted"} -> Rate for a GPU without a record (what the authors state of a V100).
    """
    bench = _read(results, "make bench")["results"]

    def benched(name, key, scale=1.0, inverse=False):
        value = bench.get(name, {}).get(key)
        if not value:
            return Rate(None, f"not measured: run make bench ({name})")
        return Rate(scale / value if inverse else scale * value, f"make bench: {name}")

    trained, extracted, searched = (anchors or {}).get("trained"), (anchors or {}).get("extracted"), None
    if gpu_record is not None:
        record = _read(gpu_record, "make gpu-check")
        trained, extracted = (_gpu(record, gpu_record, task) for task in ("training", "extraction"))
        searched = _gpu(record, gpu_record, "extraction", "peak_tflop_per_second")
    unknown = Rate(None, "not measured: run make gpu-check and give its record")
    return Rates(
        generated=benched("generation_chain", "images_per_second"),
        proposed=benched("reference_division", "search_milliseconds_a_picture", 1000.0, inverse=True),
        searched=searched or benched("score_normalisation", "multiply_adds_per_second"),
        fused=benched("fusion", "rows_per_second"),
        trained=trained or unknown,
        extracted=extracted or unknown,
    )


def _gpu(record, path, task, key="tflop_per_second"):
    rows = [row for row in record.get("throughput", []) if row["task"] == task and row["for_claims"]]
    if not rows:
        return Rate(None, f"{Path(path).name} holds no throughput of {task}")
    return Rate(rows[0][key] * 1e12 / 2, f"make gpu-check: {record['device']}, {rows[0]['mode']}")


def _read(path, command):
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Refusal(f"{path}: no such record: `{command}` makes it") from None
    except ValueError as error:
        raise Refusal(f"{path}: not JSON ({error}): run `{command}` again") from None
