"""What a run of Track 1 will take, stage by stage, from its parameters and the rates of the hardware."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from checks.forecast.operations import multiply_adds
from checks.forecast.operations import parameters as count_parameters
from checks.forecast.rates import QUERY_CROPS, Rate

ARCHITECTURES = {"50": "resnet50", "152": "resnet152", "ibn": "resnet_ibn50a"}
PARTS = 19
BYTES_PER_PIXEL = 0.8
"""JPEG of quality 100: the bound that the stage itself asks for."""
CHECKPOINT_COPIES = 3
"""Weights and both moments of Adam."""
PAIR_SETS = ("baseline_CC_pair",)
PUBLISHED_RUN_SECONDS = 24 * 3600.0
PUBLISHED_QUERY_SECONDS = 3 * 3600.0


class Published(NamedTuple):
    """A duration that the authors state."""

    hours: float
    gpus: int


PUBLISHED_PRETRAINING = {
    "50": Published(7 * 24.0, 16),
    "152": Published(14 * 24.0, 8),
    "ibn": Published(7 * 24.0, 8),
}


@dataclass(frozen=True)
class Row:
    """One stage: pictures (or pairs, rows) handled, hours on the given hardware, gigabytes written."""

    stage: str
    amount: int
    of: str
    hours: float | None
    gigabytes: float
    basis: str


@dataclass(frozen=True)
class Hardware:
    """What the run may use at the same time."""

    cores: int
    gpus: int


@dataclass(frozen=True)
class Amounts:
    """Sizes of the raw data."""

    training: int
    references: int
    queries: int

    @property
    def query_crops(self):
        """Augmented queries, in the published proportion of crops to queries."""
        return round(self.queries * QUERY_CROPS / 50000)


def v100(parameters, amounts):
    """Multiply-adds a second of one V100, as the authors' own hours imply."""
    backbones = parameters["test"]["backbones"]
    steps = _training_operations(parameters, amounts)
    mean = sum(steps[name] for name in backbones) / len(backbones)
    forward = [_forward(parameters, name, parameters["test"]["multi_part_scale"]) for name in backbones]
    extracted = amounts.query_crops * sum(forward) / len(forward) / PUBLISHED_QUERY_SECONDS
    return {
        "trained": Rate(mean / (4 * PUBLISHED_RUN_SECONDS), "published: about a day a run on 4 V100"),
        "extracted": Rate(extracted, "published: all query features in 3 h on 33 V100"),
    }


def forecast(parameters, amounts, rates, hardware):
    """The Rows of all stages of the section `isc_track1`."""
    return [
        Row("overlay detector", amounts.queries, "queries", None, 1.0, "not measured"),
        Row("faces", amounts.training + amounts.references, "pictures", None, 0.1, "not measured"),
        _generate(parameters, amounts, rates, hardware),
        *_pretrain(parameters, hardware),
        _train(parameters, amounts, rates, hardware),
        _crop_queries(parameters, amounts, rates, hardware),
        _extract(parameters, amounts, rates, hardware),
        _normalise(parameters, amounts, rates, hardware),
        _fuse(parameters, rates),
    ]


def classes(parameters, amounts):
    """Classes of the base set."""
    return -(-amounts.training // parameters["generate"]["every"])


def _generate(parameters, amounts, rates, hardware):
    made = parameters["generate"]
    images = len(parameters["test"]["tags"]) * classes(parameters, amounts) * made["copies"]
    size = images * made["chain"]["size"] ** 2 * BYTES_PER_PIXEL
    basis = rates.generated.source + "; face classes not counted"
    return Row(
        "generate", images, "pictures", _hours(images, rates.generated, hardware.cores), size / 1e9, basis
    )


def _pretrain(parameters, hardware):
    for name in parameters["test"]["backbones"]:
        made = parameters["pretrain"][ARCHITECTURES[name]]
        if made["published"]:
            yield Row(f"pretrain {name}", 0, "pictures", 0.0, 0.5, "the authors' weights")
        else:
            known = PUBLISHED_PRETRAINING.get(name)
            hours = known and known.hours * known.gpus / hardware.gpus
            basis = (
                f"published: {known.hours / 24:.0f} days on {known.gpus} V100" if known else "not measured"
            )
            yield Row(f"pretrain {name}", 0, "pictures", hours, 1.0, basis)


def _runs(parameters):
    test = parameters["test"]
    return [(tag, name) for tag in (*test["tags"], *test["pair_tags"]) for name in test["backbones"]]


def _training_operations(parameters, amounts):
    """Multiply-adds of a whole run of each backbone; the backward pass costs twice the forward one."""
    train = parameters["train"]
    pictures = train["epochs"] * train["iterations"] * train["batch"]
    side = train["height"]
    return {
        name: 3
        * pictures
        * multiply_adds(_shape(parameters, name), side, classes=classes(parameters, amounts))
        for name in parameters["test"]["backbones"]
    }


def _train(parameters, amounts, rates, hardware):
    train, per_run = parameters["train"], _training_operations(parameters, amounts)
    share = parameters["train_pairs"]["iterations"] / train["iterations"]
    runs = _runs(parameters)
    work = sum(per_run[name] * (share if tag in PAIR_SETS else 1) for tag, name in runs)
    pictures = sum(
        train["epochs"] * train["batch"] * train["iterations"] * (share if tag in PAIR_SETS else 1)
        for tag, _ in runs
    )
    kept = train["epochs"] if train.get("keep_checkpoints", "all") == "all" else 1
    size = sum(
        kept
        * CHECKPOINT_COPIES
        * 4
        * count_parameters(_shape(parameters, name), classes(parameters, amounts))
        for _, name in runs
    )
    hours = _hours(work, rates.trained, hardware.gpus)
    return Row("train", round(pictures), "pictures", hours, size / 1e9, rates.trained.source)


def _crop_queries(parameters, amounts, rates, hardware):
    queries = -(-amounts.queries // parameters["crop_queries"]["every"])
    hours = _hours(queries, rates.proposed, hardware.cores)
    pixels = queries * QUERY_CROPS / 50000 * 200**2
    basis = rates.proposed.source + "; crops taken as 200 x 200 pixels; detection not counted"
    return Row("crop_queries", queries, "queries", hours, pixels * BYTES_PER_PIXEL / 1e9, basis)


def _vectors(parameters, amounts):
    """{(tag, backbone, scale): vectors}, the multi-part ones under the tag baseline_CC_ref."""
    test, found = parameters["test"], {}
    trained = parameters["extract"]["pca"]["images"]
    for tag, name in _runs(parameters):
        for scale in test["scales"]:
            if tag not in PAIR_SETS or scale == test["multi_part_scale"]:
                found[tag, name, scale] = (
                    trained + amounts.training + amounts.references + amounts.query_crops
                )
        if tag == "baseline_CC":
            parts = PARTS * amounts.references + amounts.queries + amounts.training + trained
            found["baseline_CC_ref", name, test["multi_part_scale"]] = parts
    return found


def _extract(parameters, amounts, rates, hardware):
    vectors = _vectors(parameters, amounts)
    work = sum(count * _forward(parameters, name, scale) for (_, name, scale), count in vectors.items())
    pictures = sum(vectors.values())
    size = pictures * 4 * parameters["extract"]["pca"]["dimensions"]
    hours = _hours(work, rates.extracted, hardware.gpus)
    return Row("extract", pictures, "descriptors", hours, size / 1e9, rates.extracted.source)


def _normalise(parameters, amounts, rates, hardware):
    test, width = parameters["test"], parameters["extract"]["pca"]["dimensions"] + 1
    lists = (len(test["tags"]) * len(test["scales"]) + len(test["pair_tags"])) * len(test["backbones"])
    pairs = lists * amounts.query_crops * (amounts.references + amounts.training)
    if "baseline_CC" in test["tags"]:
        parts = PARTS * amounts.references + amounts.training
        pairs += len(test["backbones"]) * amounts.queries * parts
        lists += len(test["backbones"])
    rows = lists * parameters["normalise"]["max_results"]
    devices = hardware.gpus if rates.searched.source.startswith("make gpu-check") else 1
    hours = _hours(pairs * width, rates.searched, devices)
    return Row("normalise", pairs, "pairs", hours, rows * 33 / 1e9, rates.searched.source)


def _fuse(parameters, rates):
    test = parameters["test"]
    lists = (len(test["tags"]) * len(test["scales"]) + 1 + len(test["pair_tags"])) * len(test["backbones"])
    rows = lists * parameters["normalise"]["max_results"]
    return Row("fuse", rows, "rows", _hours(rows, rates.fused, 1), rows * 40 / 1e9, rates.fused.source)


def _forward(parameters, name, scale):
    return multiply_adds(_shape(parameters, name), scale)


def _shape(parameters, name):
    return parameters["networks"][ARCHITECTURES[name]]


def _hours(amount, rate, devices):
    return None if rate.value is None else amount / rate.value / max(1, devices) / 3600
