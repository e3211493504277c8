"""What the overlay detector will take: its training set, its training, and the detections of the queries."""

from __future__ import annotations

from checks.forecast.grown import data_set_objects, with_memory, with_objects
from checks.forecast.operations import detector_multiply_adds, detector_parameters
from checks.forecast.rows import BYTES_A_PICTURE, CHECKPOINT_COPIES, Row, hours_of, network_hours

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
    row = Row("generate", pictures, "pictures", hours, size / 1e9, basis)
    workers = min(made["workers"], hardware.cores)
    row = with_memory(row, rates.curves.memory("generation"), pictures, workers + 1)
    return with_objects(row, data_set_objects(pictures, made["pictures_per_shard"]))


def _train(parameters, amounts, rates, hardware):
    """One process on one GPU, whatever there is; the backward pass costs twice the forward one."""
    train, made = parameters["train"], parameters["generate"]
    sources = _sources(made, amounts)
    held_out = round(sources * made["validation"])
    steps = (sources - held_out) * made["copies"] // train["batch"]
    pictures = train["epochs"] * steps * train["batch"]
    forward = detector_multiply_adds(train["shape"])
    hours = network_hours(pictures, forward, train["batch"], rates.trained, 1, passes=3)
    size = (1 + CHECKPOINT_COPIES) * 4 * detector_parameters(train["shape"])
    basis = rates.trained.source + "; multiply-adds at the rate of the copy detection's training; on one GPU"
    return Row("train", pictures, "pictures", hours, size / 1e9, basis)


def _detect(parameters, amounts, rates, hardware):
    size = amounts.queries * BYTES_A_QUERY / 1e9
    if parameters["detect"]["detector"] == "published":
        return Row("detect", amounts.queries, "queries", 0.0, size, "the authors' detections")
    forward, batch = detector_multiply_adds(parameters["train"]["shape"]), parameters["detect"]["batch"]
    hours = network_hours(amounts.queries, forward, batch, rates.detected, 1, passes=1)
    basis = rates.detected.source + "; square frames; on one GPU"
    return Row("detect", amounts.queries, "queries", hours, size, basis)
