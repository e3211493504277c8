"""What person re-identification will take: runs of a params.json, their students, evaluation, export."""

from __future__ import annotations

from checks.forecast.grown import with_memory, with_objects, with_seconds
from checks.forecast.networks import resnet
from checks.forecast.reid_length import batch_of, length_of, parallels, value
from checks.forecast.rows import Row, network_hours

MODEL = "resnet_50"
FILES_OF_RUN = 8
QUERIES_MEASURED = 50
"""Queries for which the growth of the ranking was measured."""
RANKINGS = 4
"""Times that the gallery is ranked: two protocols, several queries, re-ranked."""


def forecast(parameters, counts, rates, hardware):
    """The Rows of the section `reid`; counts: {data set: pictures} of inputs.yaml, and
    `reid_identities` of the training set, None where they are not known."""
    runs = {**parameters["runs"], **parameters["students"]}
    return [
        *(_train(name, run, runs, counts, rates, hardware) for name, run in runs.items()),
        _evaluate(parameters, runs, counts, rates, hardware),
        _export(parameters, runs, counts, rates),
    ]


def forward_of(run):
    """Multiply-adds of a picture of a run, forward; parts and classifier not counted."""
    model, own = run.get("model_params", {}), run["encore"]
    return resnet(
        model.get("model", MODEL).replace("_", ""),
        run["img_h"],
        run["img_w"],
        own.get("layers"),
        own.get("width"),
        last_stride=value(run, "last_conv_stride", model),
    )


def _train(name, run, runs, counts, rates, hardware):
    batch, own = batch_of(run), run["encore"]
    length = length_of(run, counts["reid_training"], counts["reid_identities"])
    if length is None:
        basis = "not measured: inputs.yaml states no identities (groups) of reid_training"
        return with_objects(Row(f"train {name}", 0, "pictures", None, 1.0, basis), FILES_OF_RUN)
    pictures = length.pictures
    forward = forward_of(run)
    teacher = (own.get("teacher") or {}).get("model")
    if teacher and forward is not None:
        answering = forward_of(runs[teacher.rpartition("/")[2]])
        forward = None if answering is None else forward + answering / 3
    hours = network_hours(pictures, forward, batch, rates.trained, min(hardware.gpus, parallels(run)), 3)
    basis = rates.trained.source + "; backbone only"
    return with_objects(Row(f"train {name}", pictures, "pictures", hours, 1.0, basis), FILES_OF_RUN)


def _evaluate(parameters, runs, counts, rates, hardware):
    """Features of queries and gallery, the rankings, and the re-ranking of all pictures."""
    made, evaluated = parameters["evaluation"], parameters["evaluated"]
    queries, gallery = counts["reid_query"], counts["reid_gallery"]
    each = [
        network_hours(
            queries + gallery, forward_of(runs[name]), made["batch_size"], rates.extracted, 1, passes=1
        )
        for name in evaluated
    ]
    hours = None if None in each else sum(each)
    pictures, times = len(evaluated) * (queries + gallery), len(evaluated) * RANKINGS
    row = Row("evaluate", pictures, "pictures", hours, 0.1, rates.extracted.source, starts=len(evaluated))
    row = with_seconds(
        row,
        [
            (rates.curves.seconds("person_ranking"), gallery, times * queries / QUERIES_MEASURED, 1),
            (rates.curves.seconds("k_reciprocal"), queries + gallery, len(evaluated), 1),
        ],
    )
    row = with_memory(row, rates.curves.memory("k_reciprocal"), queries + gallery)
    return with_objects(row, 2 * len(evaluated))


def _export(parameters, runs, counts, rates):
    """The query pictures by torch and by onnxruntime, taken as equally fast."""
    names, queries = parameters["exported"], counts["reid_query"]
    batch = parameters["evaluation"]["batch_size"]
    each = [
        network_hours(2 * queries, forward_of(runs[name]), batch, rates.extracted, 1, passes=1)
        for name in names
    ]
    hours = None if None in each else sum(each)
    row = Row(
        "export", 2 * queries * len(names), "pictures", hours, 0.1, rates.extracted.source, starts=len(names)
    )
    return with_objects(row, 3 * len(names))
