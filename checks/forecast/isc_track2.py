"""What a run of Track 2 will take, stage by stage."""

from __future__ import annotations

from checks.forecast.operations import multiply_adds
from checks.forecast.operations import parameters as count_parameters
from checks.forecast.rows import (
    BYTES_A_PICTURE,
    BYTES_PER_PIXEL,
    CHECKPOINT_COPIES,
    NAME_BYTES,
    Row,
    checkpoints_kept,
    classes,
    hours_of,
)


def forecast(parameters, amounts, rates, hardware):
    """The Rows of all stages of the section `isc_track2`."""
    return [
        _generate(parameters, amounts, rates, hardware),
        _queries(parameters["queries"], amounts, rates, hardware),
        _crop_overlays(parameters, amounts, rates, hardware),
        _pretrain(parameters),
        _train(parameters, amounts, rates, hardware),
        _extract(parameters, amounts, rates, hardware),
        _test(parameters, amounts, rates),
    ]


def _generate(parameters, amounts, rates, hardware):
    made = parameters["generate"]
    pictures = classes(parameters, amounts) * made["copies"]
    size = pictures * made["chain"]["size"] ** 2 * BYTES_PER_PIXEL
    hours = hours_of(pictures, rates.generated, hardware.cores)
    return Row("generate", pictures, "pictures", hours, size / 1e9, rates.generated.source)


def _queries(made, amounts, rates, hardware):
    if made.get("held_out") is None:
        size = amounts.queries * BYTES_A_PICTURE / 1e9
        return Row("queries", amounts.queries, "queries", 0.0, size, "given ones are copied")
    size = amounts.queries * made["held_out"]["chain"]["size"] ** 2 * BYTES_PER_PIXEL / 1e9
    hours = hours_of(amounts.queries, rates.generated, hardware.cores)
    return Row("queries", amounts.queries, "queries", hours, size, rates.generated.source)


def _crop_overlays(parameters, amounts, rates, hardware):
    """One process writes them."""
    size = amounts.queries * BYTES_A_PICTURE / 1e9
    if parameters["crop_overlays"]["detector"] == "none":
        return Row("crop_overlays", amounts.queries, "queries", 0.0, size, "copied")
    hours = hours_of(amounts.queries, rates.generated, 1)
    basis = rates.generated.source + "; assumed: each a generated picture's work"
    return Row("crop_overlays", amounts.queries, "queries", hours, size, basis)


def _pretrain(parameters):
    if parameters["pretrain"]["published"]:
        return Row("pretrain", 0, "pictures", 0.0, 0.1, "the authors' weights")
    return Row("pretrain", 0, "pictures", None, 0.1, "not measured: own pre-training")


def _train(parameters, amounts, rates, hardware):
    """The backward pass costs twice the forward one."""
    train, network, known = parameters["train"], parameters["network"], classes(parameters, amounts)
    pictures = train["epochs"] * train["iterations"] * train["batch"]
    work = 3 * pictures * multiply_adds(network, train["height"], classes=known)
    size = checkpoints_kept(train) * CHECKPOINT_COPIES * 4 * count_parameters(network, known)
    hours = hours_of(work, rates.trained, min(hardware.gpus, train["replicas"]))
    basis = rates.trained.source + f"; on {train['replicas']} GPUs at most"
    return Row("train", pictures, "pictures", hours, size / 1e9, basis)


def _extract(parameters, amounts, rates, hardware):
    made, network, models = parameters["extract"], parameters["network"], len(parameters["models"])
    pictures = models * (amounts.training + amounts.references + amounts.queries)
    work = pictures * sum(multiply_adds(network, scale) for scale in made["scales"])
    stored = pictures * len(made["scales"])
    hours = hours_of(work, rates.extracted, min(hardware.gpus, models))
    basis = rates.extracted.source + "; a GPU a model"
    size = stored * (4 * network["matrix"] + NAME_BYTES)
    return Row("extract", stored, "descriptors", hours, size / 1e9, basis)


def _test(parameters, amounts, rates):
    """Search against the references and the training pictures; where not all queries are labelled, the second
    search among those that are is not counted."""
    models, width = len(parameters["models"]), parameters["network"]["matrix"]
    stretched = amounts.training if parameters["test"].get("stretching") else 0
    pairs = models * amounts.queries * (amounts.references + stretched)
    rows = models * (amounts.queries + amounts.references)
    size = rows * (4 * width + NAME_BYTES)
    hours = hours_of(pairs * width, rates.searched_on_cpu, 1)
    return Row("test", pairs, "pairs", hours, size / 1e9, rates.searched_on_cpu.source)
