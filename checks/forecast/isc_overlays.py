"""What the overlay detector will take: its training set, its training, and the detections of the queries."""

from __future__ import annotations

from checks.forecast.operations import detector_multiply_adds, detector_parameters
from checks.forecast.rates import Rate
from checks.forecast.rows import BYTES_A_PICTURE, CHECKPOINT_COPIES, Row, hours_of

BYTES_A_QUERY = 2000
"""Detections of one query: some rows of six numbers, and its name."""


def forecast(parameters, amounts, rates, hardware):
    """The Rows of all stages of the section `isc_overlays`."""
    return [
        _generate(parameters["generate"], amounts, rates, hardware),
        _train(parameters, amounts, rates, hardware),
        _detect(parameters, amounts, rates, hardware),
    ]


def _sources(made, amounts):
    return -(-amounts.training // made["every"])


def _generate(made, amounts, rates, hardware):
    pictures = _sources(made, amounts) * made["copies"]
    hours = hours_of(pictures, rates.pasted, hardware.cores)
    size = pictures * BYTES_A_PICTURE
    basis = rates.pasted.source + "; disk for a megapixel each"
    return Row("generate", pictures, "pictures", hours, size / 1e9, basis)


def _train(parameters, amounts, rates, hardware):
    """One process on one GPU, whatever there is; the backward pass costs twice the forward one."""
    train, made = parameters["train"], parameters["generate"]
    sources = _sources(made, amounts)
    held_out = round(sources * made["validation"])
    steps = (sources - held_out) * made["copies"] // train["batch"]
    pictures = train["epochs"] * steps * train["batch"]
    work = 3 * pictures * detector_multiply_adds(train["shape"])
    hours = hours_of(work, rates.trained, min(1, hardware.gpus))
    size = (1 + CHECKPOINT_COPIES) * 4 * detector_parameters(train["shape"])
    basis = rates.trained.source + "; multiply-adds at the rate of the copy detection's training; on one GPU"
    return Row("train", pictures, "pictures", hours, size / 1e9, basis)


def _detect(parameters, amounts, rates, hardware):
    size = amounts.queries * BYTES_A_QUERY / 1e9
    if parameters["detect"]["detector"] == "published":
        return Row("detect", amounts.queries, "queries", 0.0, size, "the authors' detections")
    work = amounts.queries * detector_multiply_adds(parameters["train"]["shape"])
    rate = Rate(rates.detected.value, rates.detected.source + "; square frames; on one GPU")
    return Row(
        "detect", amounts.queries, "queries", hours_of(work, rate, min(1, hardware.gpus)), size, rate.source
    )
