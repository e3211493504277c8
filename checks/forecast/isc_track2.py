"""What a run of Track 2 will take, stage by stage."""

from __future__ import annotations

from checks.forecast.grown import data_set_objects, with_memory, with_objects, with_seconds
from checks.forecast.operations import multiply_adds
from checks.forecast.operations import parameters as count_parameters
from checks.forecast.pretraining import pretraining_hours
from checks.forecast.rows import (
    BYTES_A_PICTURE,
    BYTES_PER_PIXEL,
    CHECKPOINT_COPIES,
    NAME_BYTES,
    Row,
    checkpoints_kept,
    classes,
    hours_of,
    network_hours,
)

FILES_OF_CHECKPOINTS = 4
"""Beside the checkpoints of a run: its record, its log, its event file, and the folder."""
NUMBERS_MEASURED = 64
"""Of a descriptor, where growth was measured: wider ones are counted as so many more."""
LISTED = 500000
"""Pairs of the competition's list."""
DRAWS_MEASURED, DRAWS = 20, 1000
"""Draws of the bootstrap: where growth was measured, and of `encore verify`."""


def forecast(parameters, amounts, rates, hardware):
    """The Rows of all stages of the section `isc_track2`."""
    return [
        _generate(parameters, amounts, rates, hardware),
        _queries(parameters["queries"], amounts, rates, hardware),
        _crop_overlays(parameters, amounts, rates, hardware),
        _pretrain(parameters, amounts, rates),
        _train(parameters, amounts, rates, hardware),
        _extract(parameters, amounts, rates, hardware),
        _test(parameters, amounts, rates),
        verification(rates, len(parameters["models"])),
    ]


def _generate(parameters, amounts, rates, hardware):
    made = parameters["generate"]
    pictures = classes(parameters, amounts) * made["copies"]
    size = pictures * made["chain"]["size"] ** 2 * BYTES_PER_PIXEL
    hours = hours_of(pictures, rates.generated, hardware.cores)
    row = Row("generate", pictures, "pictures", hours, size / 1e9, rates.generated.source)
    return generated(row, made, pictures, rates, hardware)


def generated(row, made, pictures, rates, hardware, sets=1):
    """A Row of generated pictures with the growth of what writes them: `pictures` in each of `sets` data
    sets, by the section `generate`."""
    curve, workers = rates.curves.seconds("generation"), min(made["workers"], hardware.cores)
    row = with_seconds(row, [(curve, pictures, sets, workers)])
    row = with_memory(row, rates.curves.memory("generation"), pictures, workers + 1)
    return with_objects(row, data_set_objects(pictures, made["classes_per_shard"] * made["copies"], sets))


def _queries(made, amounts, rates, hardware):
    if made.get("held_out") is None:
        size = amounts.queries * BYTES_A_PICTURE / 1e9
        row = Row("queries", amounts.queries, "queries", 0.0, size, "given ones are copied")
        return with_objects(row, data_set_objects(amounts.queries, made["images_per_shard"]))
    size = amounts.queries * made["held_out"]["chain"]["size"] ** 2 * BYTES_PER_PIXEL / 1e9
    hours = hours_of(amounts.queries, rates.generated, hardware.cores)
    row = Row("queries", amounts.queries, "queries", hours, size, rates.generated.source)
    return with_objects(row, data_set_objects(amounts.queries, made["images_per_shard"]))


def _crop_overlays(parameters, amounts, rates, hardware):
    """One process writes them."""
    size = amounts.queries * BYTES_A_PICTURE / 1e9
    if parameters["crop_overlays"]["detector"] == "none":
        return Row("crop_overlays", amounts.queries, "queries", 0.0, size, "copied")
    hours = hours_of(amounts.queries, rates.generated, 1)
    basis = rates.generated.source + "; assumed: each a generated picture's work"
    return Row("crop_overlays", amounts.queries, "queries", hours, size, basis)


def _pretrain(parameters, amounts, rates):
    made = parameters["pretrain"]
    if made["published"]:
        return Row("pretrain", 0, "pictures", 0.0, 0.1, "the authors' weights", objects=1)
    pictures, hours = pretraining_hours(made, parameters["network"], amounts.training, rates)
    basis = rates.trained.source if hours is not None else "not measured: own pre-training"
    return Row("pretrain", pictures, "pictures", hours, 0.1, basis, objects=1)


def _train(parameters, amounts, rates, hardware):
    """The backward pass costs twice the forward one."""
    train, network, known = parameters["train"], parameters["network"], classes(parameters, amounts)
    pictures = train["epochs"] * train["iterations"] * train["batch"]
    forward = multiply_adds(network, train["height"], classes=known)
    size = checkpoints_kept(train) * CHECKPOINT_COPIES * 4 * count_parameters(network, known)
    devices = min(hardware.gpus, train["replicas"])
    hours = network_hours(pictures, forward, train["batch"], rates.trained, devices, passes=3)
    basis = rates.trained.source + f"; on {train['replicas']} GPUs at most"
    row = Row("train", pictures, "pictures", hours, size / 1e9, basis)
    return with_objects(row, checkpoints_kept(train) + FILES_OF_CHECKPOINTS)


def _extract(parameters, amounts, rates, hardware):
    made, network, models = parameters["extract"], parameters["network"], len(parameters["models"])
    pictures = models * (amounts.training + amounts.references + amounts.queries)
    stored = pictures * len(made["scales"])
    each = [
        network_hours(
            pictures,
            multiply_adds(network, scale),
            made["batch_size"],
            rates.extracted,
            min(hardware.gpus, models),
            passes=1,
        )
        for scale in made["scales"]
    ]
    hours = None if None in each else sum(each)
    basis = rates.extracted.source + "; a GPU a model"
    size = stored * (4 * network["matrix"] + NAME_BYTES)
    row = Row("extract", stored, "descriptors", hours, size / 1e9, basis, starts=models)
    of_a_model = pictures // models
    curve = rates.curves.seconds("extraction")
    row = with_seconds(row, [(curve, of_a_model, models * len(made["scales"]), 1)])
    row = with_memory(row, rates.curves.memory("extraction"), of_a_model)
    chunk = made["batch_size"] * made["batches_per_chunk"]
    files = sum(-(-n // chunk) for n in (amounts.training, amounts.references, amounts.queries))
    return with_objects(row, models * (files * len(made["scales"]) + 1))


def _test(parameters, amounts, rates):
    """Search against the references and the training pictures; where not all queries are labelled, the second
    search among those that are is not counted."""
    models, width = len(parameters["models"]), parameters["network"]["matrix"]
    stretched = amounts.training if parameters["test"].get("stretching") else 0
    pairs = models * amounts.queries * (amounts.references + stretched)
    rows = models * (amounts.queries + amounts.references)
    size = rows * (4 * width + NAME_BYTES)
    hours = hours_of(pairs * width, rates.searched_on_cpu, 1)
    row = Row("test", pairs, "pairs", hours, size / 1e9, rates.searched_on_cpu.source, starts=models)
    held = (amounts.queries + amounts.references + stretched) * width // NUMBERS_MEASURED
    reading = [(rates.curves.seconds("descriptor_reading"), held, models, 1)]
    row = with_seconds(row, reading)
    row = with_memory(row, rates.curves.memory("descriptor_reading"), held)
    return with_objects(row, 3 * models)


def verification(rates, lists, name="verify"):
    """The Row of `encore verify --from-predictions` over so many of the competition's lists."""
    row = Row(name, lists * LISTED, "predictions", 0.0, 0.0, "measured growth alone", starts=0)
    if rates.curves.seconds("bootstrap_interval") is None:
        return Row(name, lists * LISTED, "predictions", None, 0.0, "not measured: growth", starts=0)
    row = with_seconds(
        row,
        [
            (rates.curves.seconds("evidence_file"), LISTED, lists, 1),
            (rates.curves.seconds("bootstrap_interval"), LISTED, lists * DRAWS // DRAWS_MEASURED, 1),
        ],
    )
    return with_memory(row, rates.curves.memory("bootstrap_interval"), LISTED)
