"""What a run of Track 1 will take, stage by stage, from its parameters and the rates of the hardware."""

from __future__ import annotations

from typing import NamedTuple

from checks.forecast.grown import data_set_objects, with_memory, with_objects, with_seconds
from checks.forecast.isc_track2 import FILES_OF_CHECKPOINTS, generated, verification
from checks.forecast.operations import multiply_adds
from checks.forecast.operations import parameters as count_parameters
from checks.forecast.pretraining import pretraining_hours
from checks.forecast.rates import QUERY_CROPS, Rate
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
from encore.data.faiss_transform import pca_file_bytes

ARCHITECTURES = {"50": "resnet50", "152": "resnet152", "ibn": "resnet_ibn50a"}
PARTS = 19
PAIR_SETS = ("baseline_CC_pair",)
MULTI_PART = "baseline_CC"
PUBLISHED_RUN_SECONDS = 24 * 3600.0
PUBLISHED_QUERY_SECONDS = 3 * 3600.0
PUBLISHED_QUERIES = 50000
PUBLISHED_PAIRS = 4991


class Published(NamedTuple):
    """A duration that the authors state."""

    hours: float
    gpus: int


PUBLISHED_PRETRAINING = {
    "50": Published(7 * 24.0, 16),
    "152": Published(14 * 24.0, 8),
    "ibn": Published(7 * 24.0, 8),
}


def v100(parameters, amounts):
    """{"trained", "extracted"} -> Rate of a V100 in multiply-adds a second, as the authors' own hours imply.

    parameters, amounts: those of the published run, whatever is to be forecast.
    """
    backbones = parameters["test"]["backbones"]
    steps = _training_operations(parameters, amounts)
    mean = sum(steps[name] for name in backbones) / len(backbones)
    forward = [_forward(parameters, name, parameters["test"]["multi_part_scale"]) for name in backbones]
    extracted = query_crops(parameters, amounts) * sum(forward) / len(forward) / PUBLISHED_QUERY_SECONDS
    return {
        "trained": Rate(mean / (4 * PUBLISHED_RUN_SECONDS), "published: about a day a run on 4 V100"),
        "extracted": Rate(extracted, "published: all query features in 3 h on 33 V100"),
    }


def forecast(parameters, amounts, rates, hardware):
    """The Rows of all stages of the section `isc_track1`."""
    return [
        _faces(parameters["faces"], amounts, rates, hardware),
        _generate(parameters, amounts, rates, hardware),
        _pairs(parameters["pairs"], amounts, rates, hardware),
        *_pretrain(parameters, amounts, rates, hardware),
        _train(parameters, amounts, rates, hardware),
        _crop_queries(parameters, amounts, rates, hardware),
        _extract(parameters, amounts, rates, hardware),
        _normalise(parameters, amounts, rates, hardware),
        _fuse(parameters, rates),
        verification(rates, 1),
    ]


def queries_taken(parameters, amounts):
    """Queries that crops are made of."""
    return -(-amounts.queries // parameters["crop_queries"]["every"])


def query_crops(parameters, amounts):
    """Augmented queries, in the published proportion of crops to queries."""
    return round(queries_taken(parameters, amounts) * QUERY_CROPS / PUBLISHED_QUERIES)


def _faces(faces, amounts, rates, hardware):
    """With `most` the search may end before the last candidate: the hours are those of all."""
    skipped = -(-amounts.face_candidates // faces["except_every"]) if faces["except_every"] else 0
    searched = amounts.face_candidates - skipped + (0 if faces["face_del"] else amounts.references)
    rate = rates.faces
    if faces["detector"] != "cascade":
        rate = Rate(None, f"not measured: detector {faces['detector']}")
    return Row("faces", searched, "pictures", hours_of(searched, rate, hardware.cores), 0.1, rate.source)


def _generate(parameters, amounts, rates, hardware):
    made = parameters["generate"]
    images = len(parameters["test"]["tags"]) * classes(parameters, amounts) * made["copies"]
    size = images * made["chain"]["size"] ** 2 * BYTES_PER_PIXEL
    basis = rates.generated.source + "; face classes not counted"
    hours, sets = hours_of(images, rates.generated, hardware.cores), len(parameters["test"]["tags"])
    row = Row("generate", images, "pictures", hours, size / 1e9, basis, starts=sets)
    return generated(row, made, images // sets, rates, hardware, sets)


def _pairs(made, amounts, rates, hardware):
    """A class a pair, of two pictures; the classes that are left out to divide by 4 take none."""
    given = made.get("held_out") is None
    pairs = PUBLISHED_PAIRS if given else amounts.pair_queries
    pictures = 2 * (pairs - pairs % 4)
    if given:
        basis = f"given ones are copied, {PUBLISHED_PAIRS:,} as published"
        row = Row("pairs", pictures, "pictures", 0.0, pictures * BYTES_A_PICTURE / 1e9, basis)
        return with_objects(row, data_set_objects(pairs, made["pairs_per_shard"]))
    size = pictures * made["held_out"]["chain"]["size"] ** 2 * BYTES_PER_PIXEL
    hours = hours_of(pictures, rates.generated, hardware.cores)
    row = Row("pairs", pictures, "pictures", hours, size / 1e9, rates.generated.source)
    return with_objects(row, data_set_objects(pairs, made["pairs_per_shard"]))


def _pretrain(parameters, amounts, rates, hardware):
    for name in parameters["test"]["backbones"]:
        made = parameters["pretrain"][ARCHITECTURES[name]]
        if made["published"]:
            yield Row(f"pretrain {name}", 0, "pictures", 0.0, 0.5, "the authors' weights")
            continue
        pictures, hours = pretraining_hours(made, _shape(parameters, name), amounts.training, rates)
        known, basis = PUBLISHED_PRETRAINING.get(name), rates.trained.source
        if hours is None:
            hours = known and known.hours * known.gpus / max(1, hardware.gpus)
            basis = (
                f"published: {known.hours / 24:.0f} days on {known.gpus} V100" if known else "not measured"
            )
        yield Row(f"pretrain {name}", pictures, "pictures", hours, 1.0, basis)


def _runs(parameters):
    test = parameters["test"]
    return [(tag, name) for tag in (*test["tags"], *test["pair_tags"]) for name in test["backbones"]]


def _training_operations(parameters, amounts):
    """Multiply-adds of a whole run of each backbone; the backward pass costs twice the forward one."""
    train = parameters["train"]
    pictures = train["epochs"] * train["iterations"] * train["batch"]
    forward = _training_forward(parameters, amounts)
    return {name: 3 * pictures * forward[name] for name in parameters["test"]["backbones"]}


def _training_forward(parameters, amounts):
    """{backbone: multiply-adds of a training picture, forward}."""
    side, known = parameters["train"]["height"], classes(parameters, amounts)
    return {
        name: multiply_adds(_shape(parameters, name), side, classes=known)
        for name in parameters["test"]["backbones"]
    }


def _train(parameters, amounts, rates, hardware):
    train, forward = parameters["train"], _training_forward(parameters, amounts)
    share = parameters["train_pairs"]["iterations"] / train["iterations"]
    runs, a_run = _runs(parameters), train["epochs"] * train["batch"] * train["iterations"]
    each = [
        network_hours(
            a_run * (share if tag in PAIR_SETS else 1),
            forward[name],
            train["batch"],
            rates.trained,
            hardware.gpus,
            3,
        )
        for tag, name in runs
    ]
    pictures = sum(
        train["epochs"] * train["batch"] * train["iterations"] * (share if tag in PAIR_SETS else 1)
        for tag, _ in runs
    )
    size = sum(
        checkpoints_kept(train)
        * CHECKPOINT_COPIES
        * 4
        * count_parameters(_shape(parameters, name), classes(parameters, amounts))
        for _, name in runs
    )
    hours = None if None in each else sum(each)
    row = Row("train", round(pictures), "pictures", hours, size / 1e9, rates.trained.source, starts=len(runs))
    return with_objects(row, len(runs) * (checkpoints_kept(train) + FILES_OF_CHECKPOINTS))


def _crop_queries(parameters, amounts, rates, hardware):
    queries = queries_taken(parameters, amounts)
    hours = hours_of(queries, rates.proposed, hardware.cores)
    pixels = query_crops(parameters, amounts) * 200**2
    basis = rates.proposed.source + "; crops taken as 200 x 200 pixels"
    made = parameters["crop_queries"]
    row = Row("crop_queries", queries, "queries", hours, pixels * BYTES_PER_PIXEL / 1e9, basis)
    return with_objects(row, data_set_objects(queries, made["queries_per_shard"]))


def _models(parameters):
    """(tag, backbone, scale) of every model that descriptors are extracted with."""
    test = parameters["test"]
    for tag, name in _runs(parameters):
        for scale in test["scales"]:
            if tag not in PAIR_SETS or scale == test["multi_part_scale"]:
                yield tag, name, scale


def _extract(parameters, amounts, rates, hardware):
    """Pictures that PCA is trained on pass the network, too, but only their PCA is kept; for the references
    in parts PCA and training descriptors are copied, not computed again."""
    pca, scale = parameters["extract"]["pca"], parameters["test"]["multi_part_scale"]
    whole = amounts.training + amounts.references + query_crops(parameters, amounts)
    parts = PARTS * amounts.references + queries_taken(parameters, amounts)
    batch, groups = parameters["extract"]["batch_size"], max(1, len(parameters["test"].get("groups", ())))
    chunk = batch * parameters["extract"]["batches_per_chunk"]
    each, stored, files, objects = [], 0, 0, groups
    for tag, name, side in _models(parameters):
        passed, forward = pca["images"] + whole, _forward(parameters, name, side)
        objects += 2 + sum(
            -(-n // chunk) for n in (amounts.training, amounts.references, query_crops(parameters, amounts))
        )
        stored, files = stored + whole, files + _pca_bytes(parameters, name)
        if tag == MULTI_PART and side == scale:
            passed, objects = passed + parts, objects + 2 + -(-parts // chunk)
            stored, files = stored + parts + amounts.training, files + _pca_bytes(parameters, name)
        each.append(network_hours(passed, forward, batch, rates.extracted, hardware.gpus, passes=1))
    size = files + stored * (4 * pca["dimensions"] + NAME_BYTES)
    hours = None if None in each else sum(each)
    row = Row("extract", stored, "descriptors", hours, size / 1e9, rates.extracted.source, starts=groups)
    of_a_model = stored // max(1, len(each))
    machinery = [(rates.curves.seconds("extraction"), of_a_model, len(each), max(1, hardware.gpus))]
    row = with_memory(with_seconds(row, machinery), rates.curves.memory("extraction"), of_a_model)
    return with_objects(row, objects)


def _pca_bytes(parameters, name):
    pca = parameters["extract"]["pca"]
    return pca_file_bytes(_shape(parameters, name)["embedding"], pca["dimensions"], pca["images"])


def _normalise(parameters, amounts, rates, hardware):
    test, width = parameters["test"], parameters["extract"]["pca"]["dimensions"] + 1
    lists = (len(test["tags"]) * len(test["scales"]) + len(test["pair_tags"])) * len(test["backbones"])
    pairs = lists * query_crops(parameters, amounts) * (amounts.references + amounts.training)
    if MULTI_PART in test["tags"]:
        parts = PARTS * amounts.references + amounts.training
        pairs += len(test["backbones"]) * queries_taken(parameters, amounts) * parts
        lists += len(test["backbones"])
    rows = lists * parameters["normalise"]["max_results"]
    devices = hardware.gpus if rates.searched.on_gpu else 1
    hours = hours_of(pairs * width, rates.searched, devices)
    groups = max(1, len(test.get("groups", ())))
    row = Row("normalise", pairs, "pairs", hours, rows * 33 / 1e9, rates.searched.source, starts=groups)
    return with_objects(row, 2 * lists + groups)


def _fuse(parameters, rates):
    test, curves = parameters["test"], rates.curves
    lists = (len(test["tags"]) * len(test["scales"]) + 1 + len(test["pair_tags"])) * len(test["backbones"])
    each = parameters["normalise"]["max_results"]
    rows = lists * each
    if curves.seconds("final_scores") is None:
        return Row("fuse", rows, "rows", hours_of(rows, rates.fused, 1), rows * 40 / 1e9, rates.fused.source)
    voters = len(test["backbones"])
    parts = [
        (curves.seconds("score_list_reading"), each, lists, 1),
        (curves.seconds("vote"), voters * each, lists // voters, 1),
        (curves.seconds("final_scores"), rows // 2, 1, 1),
    ]
    basis = "measured growth of reading, vote and final rule; assumed: half of the rows are voted for"
    row = with_seconds(Row("fuse", rows, "rows", 0.0, rows * 40 / 1e9, basis), parts)
    return with_memory(row, curves.memory("final_scores"), rows // 2)


def _forward(parameters, name, scale):
    return multiply_adds(_shape(parameters, name), scale)


def _shape(parameters, name):
    return parameters["networks"][ARCHITECTURES[name]]
