"""How fast the given hardware is: figures that were measured, each with where it comes from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from checks.forecast.curves import COMMAND, NONE, Curves
from checks.forecast.networks import resnet
from checks.forecast.rates_of import Rate, StepRate
from checks.size import PROJECT
from encore.runtime.refusal import Refusal

PUBLISHED = "published"
SEARCH_SHARE = 0.25
"""Assumed share of a GPU's measured peak that score normalisation and search reach, unless the caller gives
another: beside the products they pick out the best, and read a million descriptors of 6 kB for every 65,536
queries."""
RECOVERED_MULTIPLY_ADDS = 10 * resnet("resnet18", 64, 64, classes=10)
"""Of an iteration of the benchmark `recover`, forward."""
QUERY_CROPS = 1.42e6
"""Augmented queries of the published test: 28 chunks of 50,000 and a rest."""


@dataclass(frozen=True)
class Rates:
    """Speeds of one CPU core, and of one GPU in multiply-adds a second of the tasks."""

    generated: Rate
    """Generated pictures a second and core."""
    proposed: Rate
    """Pictures a second and core through selective search."""
    faces: Rate
    """Pictures a second and core through the cascade that finds faces."""
    pasted: Rate
    """Pictures a second and core of the overlay detector's training set."""
    searched: Rate
    """Multiply-adds a second of score normalisation and search, one device; without a GPU one process."""
    searched_on_cpu: Rate
    """The same on the CPU, where Track 2 always searches."""
    fused: Rate
    """Rows a second of vote and fusion, one process."""
    trained: Rate
    extracted: Rate
    detected: Rate
    """Multiply-adds a second of the overlay detector."""
    curves: Curves = NONE
    """How the cost of the parts grows with their size."""
    recovered: Rate = Rate(None, "not measured: run make bench (recover)")
    """Multiply-adds a second and core of a forward pass of fkd's recover, backward included."""
    drip_augmented: Rate = Rate(None, "not measured: run make bench (drip_augmentation)")
    """Pictures a second and core through drip's augmentation."""


def read_rates(
    gpu_record=None,
    results=PROJECT / "benchmarks" / "results.json",
    anchors=None,
    search_share=SEARCH_SHARE,
    curves=NONE,
    on_cpu=False,
):
    """Rates from the record of `make bench` and, if given, of `make gpu-check`.

    `curves`: measured growth; on_cpu: networks run on the CPU, at the rate of its curves. `anchors`:
    {"trained", "extracted"} -> Rate for a GPU without a record (what the authors state of a V100).
    `search_share`: share of the GPU's measured peak, above 0 up to 1, that the search is assumed to reach.
    """
    if not 0 < search_share <= 1:
        raise Refusal(f"search share: expected a share of the peak above 0 up to 1, found {search_share:g}")
    bench = _read(results, "make bench")["results"]
    trained, extracted, searched = (anchors or {}).get("trained"), (anchors or {}).get("extracted"), None
    if gpu_record is not None:
        record = _read(gpu_record, "make gpu-check")
        trained, extracted = (_gpu(record, gpu_record, task) for task in ("training", "extraction"))
        peak = _gpu(record, gpu_record, "extraction", "peak_tflop_per_second")
        searched = _scaled(peak, search_share, f"; assumed: {search_share:.0%} of the measured peak")
    unknown = Rate(None, "not measured: run make gpu-check and give its record")
    searched_on_cpu = _searched_on_cpu(bench)
    if on_cpu:
        trained, extracted = (_stepped(curves, *of) for of in (("training_step", 3), ("forward_pass", 1)))
    return Rates(
        generated=_benched(bench, "generation_chain", "images_per_second"),
        proposed=_inverse(_benched(bench, "reference_division", "search_milliseconds_a_picture"), 1000.0),
        faces=_sized(bench, "faces_pictures_per_second"),
        pasted=_sized(bench, "pasted_pictures_per_second"),
        searched=searched or searched_on_cpu,
        searched_on_cpu=searched_on_cpu,
        fused=_benched(bench, "fusion", "rows_per_second"),
        trained=trained or unknown,
        extracted=extracted or unknown,
        detected=extracted if on_cpu else _detected(bench, extracted or unknown),
        curves=curves,
        recovered=_scaled(
            _benched(bench, "recover", "iterations_per_second"),
            RECOVERED_MULTIPLY_ADDS,
            ", ResNet-18, 10 pictures of 64 pixels",
        ),
        drip_augmented=_benched(bench, "drip_augmentation", "images_per_second"),
    )


def _stepped(curves, name, passes):
    curve = curves.seconds(name)
    if curve is None:
        return Rate(None, f"not measured: run {COMMAND} {name}")
    return StepRate(curve, f"growth: {name}, one CPU core", passes)


def _benched(bench, name, key):
    value = (bench.get(name) or {}).get(key)
    if not value:
        return Rate(None, f"not measured: run make bench ({name})")
    return Rate(value, f"make bench: {name}")


def _inverse(rate, scale):
    return rate if rate.value is None else Rate(scale / rate.value, rate.source)


def _scaled(rate, factor, said):
    return rate if rate.value is None else Rate(factor * rate.value, rate.source + said, rate.on_gpu)


def _sized(bench, key):
    """A rate of the benchmark `detection`, with how large its pictures are: larger ones take longer."""
    rate = _benched(bench, "detection", key)
    return (
        _scaled(rate, 1, f", pictures of {bench['detection']['megapixels']:.2f} megapixels")
        if rate.value
        else rate
    )


def _searched_on_cpu(bench):
    """Of the whole search: the benchmark's multiply-adds a second are those of the bare products."""
    bare = _benched(bench, "score_normalisation", "multiply_adds_per_second")
    ratio = _benched(bench, "score_normalisation", "ratio")
    if ratio.value is None:
        return ratio
    return _scaled(bare, 1 / ratio.value, f", {1 / ratio.value:.0%} of bare products; one process on the CPU")


def _detected(bench, extracted):
    """The rate of the extraction of descriptors, by how much the detector's differs from it on a CPU."""
    ratio = _benched(bench, "detection", "overlays_over_extraction")
    if ratio.value is None:
        return ratio
    return _scaled(
        extracted, ratio.value, f"; assumed: {ratio.value:.2f} of that rate, as on a CPU ({ratio.source})"
    )


def _gpu(record, path, task, key="tflop_per_second"):
    rows = [row for row in record.get("throughput", []) if row["task"] == task and row["for_claims"]]
    if not rows:
        return Rate(None, f"{Path(path).name} holds no throughput of {task}")
    source = f"make gpu-check: {record['device']}, {rows[0]['mode']}"
    return Rate(rows[0][key] * 1e12 / 2, source, on_gpu=True)


def _read(path, command):
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Refusal(f"{path}: no such record: `{command}` makes it") from None
    except ValueError as error:
        raise Refusal(f"{path}: not JSON ({error}): run `{command}` again") from None
