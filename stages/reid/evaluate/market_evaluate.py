"""Rank-k and mAP of a gallery and queries (Market-1501, and others by encore.naming).

Reads from the config: evaluation_root, batch_size, img_h and img_w (H: crop_h, crop_w), encore.naming,
encore.query_flip; and, of keys that training does not know, spectral_transform (a temperature, as published),
reranking (true: k-reciprocal too), multi_query (true: where there are such pictures) and feature_path (a
pickle of the features, read where it is there, else written, as published).
"""

from __future__ import annotations

import os
import pickle
from dataclasses import replace

import numpy as np

from encore.data.picture_tree import open_tree
from encore.metrics.person_ranking import JUNK, PREFIXES, RANKS
from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load
from encore.search.k_reciprocal import KReciprocal
from encore.systems.reid import market_evaluation
from encore.systems.reid.evaluation_input import evaluation_size
from encore.systems.reid.evaluation_pictures import open_evaluation_pictures
from encore.systems.reid.features import Extraction
from encore.systems.reid.market_evaluation import MarketFeatures, MarketOptions

COUNTS = ("queries", "left_out", "gallery", "junk", "distractors")
"""Metrics beside the ranks and the mAP."""


def run_eval(config):
    """Rank-1 by the published protocol, in [0, 1], after the spectral transform where that is on."""
    return evaluate(config)[_deciding(config)]


def evaluate(config):
    """The metrics of `encore.systems.reid.market_evaluation`; prints the published line of the log."""
    return evaluate_named(config, own(config, "naming", "market"), config.get("spectral_transform") or 0.0)


def check(config):
    """Refusal where the pictures are not there, where one is empty, and where no query can be found."""
    check_pictures(config, own(config, "naming", "market"))


def _deciding(config):
    return "spectral_rank1" if config.get("spectral_transform") else "rank1"


def _metrics(config):
    return names_of_metrics(config, own(config, "naming", "market"), config.get("spectral_transform"))


BEST_BY, METRICS = _deciding, _metrics
"""The metric that decides, and all their names, of a config."""


def evaluate_named(config, naming, spectral):
    """`evaluate` with the names of pictures and the temperature of the spectral transform (0: off) given."""
    pictures = pictures_of(config, naming)
    if not config.get("multi_query"):
        pictures = pictures._replace(multi_query=None)
    options = MarketOptions(float(spectral), KReciprocal() if config.get("reranking") else None)
    metrics = market_evaluation.evaluate(_features(config, pictures), pictures, options)
    print(market_evaluation.log_line(metrics, "spectral_" if spectral else ""), flush=True)
    return metrics


def names_of_metrics(config, naming, spectral):
    """Names of the metrics that `evaluate_named` will give."""
    kinds = {"": True, "spectral_": spectral, "reranked_": config.get("reranking")}
    if config.get("multi_query"):
        kinds["multi_query_"] = pictures_of(config, naming).multi_query is not None
    names = ["rank{}".format(rank) for rank in RANKS] + ["mAP"]
    starts = [kind + protocol for kind in kinds if kinds[kind] for protocol in PREFIXES.values()]
    return [start + name for start in starts for name in names] + list(COUNTS)


def check_pictures(config, naming):
    """Refusal for an empty picture, by name, for a query of junk, and where each query lacks a gallery
    picture of its identity from another camera."""
    pictures = pictures_of(config, naming)
    splits = [pictures.gallery, pictures.query] + (
        [pictures.multi_query] if config.get("multi_query") else []
    )
    for split in filter(None, splits):
        _refuse_empty(split)
    query, gallery = pictures.query, pictures.gallery
    for row in np.flatnonzero(query.labels == JUNK)[:1]:
        raise Refusal("{}: {}: a query of label -1 (junk): take it out".format(query.spec, query.names[row]))
    cameras = {}
    for label, camera in zip(gallery.labels.tolist(), gallery.cameras.tolist()):
        cameras.setdefault(label, set()).add(camera)
    asked = zip(query.labels.tolist(), query.cameras.tolist())
    if not any(cameras.get(label, set()) - {camera} for label, camera in asked):
        raise Refusal(
            "{}: none of {} queries has a gallery picture of its identity from another camera; the gallery "
            "has the cameras {}: check the folders and encore.naming ({})".format(
                config["evaluation_root"], len(query), sorted(set(gallery.cameras.tolist())), naming
            )
        )


def _refuse_empty(split):
    tree = open_tree(split.spec)
    empty = [name for name in split.names if not tree.size(name)]
    if empty:
        raise Refusal(
            "{}: {} of {} pictures are empty (0 bytes), the first is {}: put them back or take them "
            "out".format(split.spec, len(empty), len(split), empty[0])
        )


def own(config, name, default=None):
    """What the block `encore` of the config says of `name`."""
    value = (config.get("encore") or {}).get(name)
    return default if value is None else value


def pictures_of(config, naming):
    """The EvaluationPictures of the config; Refusal where it names none."""
    if not config.get("evaluation_root"):
        raise Refusal(
            "encore.evaluation_root: missing: name the folder, or file.tar#prefix, of gallery and query"
        )
    return open_evaluation_pictures(config["evaluation_root"], naming)


def extraction(config):
    """The Extraction that the config asks for; an ONNX file decides its own size."""
    size = getattr(config["online_net"], "input_size", None)
    size = evaluation_size(config) if size is None else (size[1], size[0])
    workers = config.get("num_preprocess_workers") or 0
    return Extraction(size, config["batch_size"], config["device"], workers)


def _features(config, pictures):
    path = config.get("feature_path")
    if path and os.path.isfile(path):
        return _fitting(read_features(path), pictures, path)
    flip = own(config, "query_flip", False)
    features = market_evaluation.describe(config["online_net"], pictures, extraction(config), flip)
    if path:
        write_features(path, features)
    return features


def _fitting(features, pictures, path):
    """Kept MarketFeatures without a part that is not asked for; Refusal where one is that they lack."""
    if pictures.multi_query is None:
        return replace(features, multi_query=None)
    if features.multi_query is None:
        raise Refusal(
            "{}: has no features of the multi-query pictures: remove it to make it anew".format(path)
        )
    return features


def read_features(path):
    """The MarketFeatures of a pickle of two or three arrays, (gallery, query[, multi-query]), read without
    running code; Refusal for anything else."""
    found = safe_load(path)
    parts = list(found) if isinstance(found, (tuple, list)) else []
    if not all(isinstance(part, np.ndarray) for part in parts):
        parts = []
    if len(parts) not in (2, 3) or any(part.ndim != 2 or part.dtype.kind != "f" for part in parts):
        raise Refusal(
            "{}: expected a pickle of (gallery, query) features, two matrices of numbers, found {}: remove "
            "it to make it anew".format(
                path, [(part.dtype, part.shape) for part in parts] or type(found).__name__
            )
        )
    return MarketFeatures(*[part.astype(np.float32) for part in parts])


def write_features(path, features):
    """Write MarketFeatures as `read_features` reads them, un-normalised, whole or not at all."""
    parts = (features.gallery, features.query)
    if features.multi_query is not None:
        parts += (features.multi_query,)
    with replacing(path) as file:
        pickle.dump(parts, file, protocol=2)
