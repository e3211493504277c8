"""What drip will take: resized copies, the stages of the drip, descriptors and their evaluation."""

from __future__ import annotations

from checks.forecast.grown import data_set_objects, with_memory, with_objects, with_seconds
from checks.forecast.isc_track2 import NUMBERS_MEASURED
from checks.forecast.networks import of_drip
from checks.forecast.rows import BYTES_PER_PIXEL, CHECKPOINT_COPIES, NAME_BYTES, Row, hours_of, network_hours

FILES_OF_STAGE = 6
"""Checkpoints (three best, the last), history, folder."""


def forecast(parameters, counts, rates, hardware):
    """The Rows of the section `drip`; counts: {data set: pictures} of inputs.yaml."""
    queries = _queries_made(parameters["queries"], counts)
    return [
        _queries(parameters["queries"], queries, rates, hardware),
        _pictures(parameters, counts, queries),
        *(_train(name, parameters, rates, hardware) for name in parameters["stages"]),
        _infer(parameters, counts, queries, rates, hardware),
        _ensemble(parameters, counts, queries, rates),
    ]


def classes_of(stage):
    """Classes of a stage: one a picture."""
    return sum(stage[name] for name in ("n_facebook_samples", "n_imagenet_samples", "n_frm_face_samples"))


def _queries_made(made, counts):
    held_out = made.get("held_out")
    if not held_out:
        return counts["drip_queries"]
    of_references = held_out["per_reference"] * counts["drip_references"]
    return of_references + held_out["per_distractor"] * counts["drip_queries"]


def _queries(made, queries, rates, hardware):
    hours, basis = 0.0, "given ones are copied"
    if made.get("held_out"):
        hours, basis = hours_of(queries, rates.drip_augmented, hardware.cores), rates.drip_augmented.source
    row = Row("queries", queries, "queries", hours, queries * 1e5 / 1e9, basis)
    return with_objects(row, data_set_objects(queries, made["images_per_shard"]))


def _pictures(parameters, counts, queries):
    """One resized copy of each picture that a stage or the evaluation reads."""
    made, stages = parameters["pictures"], parameters["stages"].values()
    training = max(stage["n_facebook_samples"] for stage in stages)
    others = max(stage["n_imagenet_samples"] + stage["n_frm_face_samples"] for stage in stages)
    copies = training + others + queries + counts["drip_references"]
    size = copies * made["size"] ** 2 * BYTES_PER_PIXEL
    row = Row("pictures", copies, "pictures", None, size / 1e9, "not measured: resized copies")
    return with_objects(row, data_set_objects(copies, made["images_per_shard"]))


def _train(name, parameters, rates, hardware):
    """A view of each class an epoch on one GPU; the columns of the classes cost their products, too."""
    stage, train = parameters["stages"][name], parameters["train"]
    classes, stop = classes_of(stage), stage["stop"]
    body = of_drip(parameters["network"], train["size"])
    epochs = [stop["min_epochs"], stop["max_epochs"]]
    numbers = classes * parameters["network"]["embedding"] + 4e7
    size = (train["save_top_k"] + 1) * CHECKPOINT_COPIES * 4 * numbers
    hours = [None, None]
    basis = "not measured: a backbone whose multiply-adds are not counted"
    if body is not None:
        forward = body + classes * parameters["network"]["embedding"]
        hours = [
            network_hours(count * classes, forward, stage["batch_size"], rates.trained, 1, passes=3)
            for count in epochs
        ]
        hours = [
            _with_views(value, count * classes, train, rates, hardware) for value, count in zip(hours, epochs)
        ]
        basis = rates.trained.source + "; on one GPU"
        if rates.drip_augmented.value is None:
            basis += "; augmentation " + rates.drip_augmented.source
    low, high = hours
    if epochs[0] != epochs[1]:
        hours, basis = None, f"{basis}; {epochs[0]} to {epochs[1]} epochs, the losses decide"
    else:
        hours, low, high = low, None, None
    row = Row(f"train {name}", epochs[1] * classes, "views", hours, size / 1e9, basis, low, high)
    return with_objects(row, FILES_OF_STAGE)


def _with_views(hours, views, train, rates, hardware):
    """With the augmentation: beside the network in loader processes, or after it where there are none."""
    if hours is None or rates.drip_augmented.value is None:
        return hours
    workers = min(train["workers"], hardware.cores)
    made = hours_of(views, rates.drip_augmented, max(1, workers))
    return max(hours, made) if workers else hours + made


def _infer(parameters, counts, queries, rates, hardware):
    """A GPU a stage; beside queries and references the training pictures that they are normalised by."""
    stages, training = parameters["inferred"], counts["drip_training"]
    each = queries + counts["drip_references"] + training
    pictures, made = each * len(stages), parameters["inference"]
    forward = of_drip(parameters["network"], parameters["train"]["size"])
    devices = max(1, min(hardware.gpus, len(stages)))
    hours = network_hours(pictures, forward, made["batch_size"], rates.extracted, devices, passes=1)
    width = parameters["network"]["embedding"]
    size = pictures * (4 * width + NAME_BYTES)
    source = rates.extracted.source if forward is not None else "not measured"
    row = Row("infer", pictures, "descriptors", hours, size / 1e9, source, starts=len(stages))
    held = each * width // NUMBERS_MEASURED
    row = with_memory(row, rates.curves.memory("descriptor_reading"), held)
    return with_objects(row, 4 * len(stages))


def _ensemble(parameters, counts, queries, rates):
    """Normalisation against the training pictures and the search, on the CPU."""
    made, training = parameters["ensemble"], counts["drip_training"]
    width = parameters["network"]["embedding"] * len(made["models"])
    pairs = queries * (counts["drip_references"] + training)
    hours = hours_of(pairs * width, rates.searched_on_cpu, 1)
    size = (queries + counts["drip_references"]) * (4 * made["dimensions"] + NAME_BYTES)
    row = Row("ensemble", pairs, "pairs", hours, size / 1e9, rates.searched_on_cpu.source)
    held = (queries + counts["drip_references"] + training) * width // NUMBERS_MEASURED
    row = with_seconds(row, [(rates.curves.seconds("descriptor_reading"), held, 1, 1)])
    return with_objects(with_memory(row, rates.curves.memory("descriptor_reading"), held), 3)
