"""The Market-1501 evaluation of a network or of features: named metrics, and rankings to look at (spec reid
5.1)."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import NamedTuple, Optional

import numpy as np

from encore.metrics.person_ranking import JUNK, PROTOCOLS, RankingAccumulator, named_metrics
from encore.runtime.refusal import Refusal
from encore.search.k_reciprocal import KReciprocal
from encore.systems.reid.features import extract_raw, l2_normalised
from encore.systems.reid.spectral_transform import rescored

CHUNK_BYTES = 1 << 27
"""Of float64 scores at once."""
GALLERY_TILE = 4096
"""Rows of the gallery in float64 at once."""


@dataclass(frozen=True, eq=False)
class MarketFeatures:
    """Features float32 (n, D) of an EvaluationPictures, as the network answers them or of unit length."""

    gallery: np.ndarray
    query: np.ndarray
    multi_query: Optional[np.ndarray] = None

    def normalised(self, pictures):
        """The same with rows of unit length; Refusal, naming the picture, for a row of zeros, and where
        features and pictures are not as many."""
        parts = {}
        for name in ("gallery", "query", "multi_query"):
            features, held = getattr(self, name), getattr(pictures, name)
            if features is None:
                continue
            if held is None or features.ndim != 2 or len(features) != len(held.names):
                raise Refusal(
                    "{} features: expected one row for each of {} pictures, found shape {}: describe these "
                    "pictures again".format(name, 0 if held is None else len(held.names), features.shape)
                )
            parts[name] = l2_normalised(features, held.names)
        return MarketFeatures(**parts)


@dataclass(frozen=True)
class MarketOptions:
    """What is measured beside the single query by the cosine."""

    spectral: float = 0.0
    """Temperature of the spectral transform of the 50 first (published: H); 0: not measured."""
    rerank: Optional[KReciprocal] = None
    """k-reciprocal re-ranking, junk pictures included as by its authors; None: not measured. Its time grows
    with the square of all pictures."""
    multi_query: bool = True
    """Where there are multi-query pictures."""


class RankedQuery(NamedTuple):
    """The head of one query's ranking."""

    query: int
    """Row among the query pictures."""
    gallery: np.ndarray
    """int64 (n,): rows of the gallery, nearest first, without junk."""
    correct: np.ndarray
    """bool (n,): of the query's identity."""
    scores: np.ndarray
    """float32 (n,): cosines."""


def describe(net, pictures, how, query_flip=False):
    """The MarketFeatures of an EvaluationPictures, un-normalised; how: Extraction.

    query_flip: add the feature of the mirrored picture for all but the gallery (ours; published: never).
    """
    multi, of_query = pictures.multi_query, replace(how, flip=how.flip or query_flip)
    return MarketFeatures(
        extract_raw(net, pictures.gallery, how, "gallery pictures"),
        extract_raw(net, pictures.query, of_query, "query pictures"),
        None if multi is None else extract_raw(net, multi, of_query, "multi-query pictures"),
    )


def evaluate(source, pictures, options=MarketOptions(), how=None, keeper=None):
    """Metrics by name, all float or int, of a network (`how`: its Extraction) or of MarketFeatures.

    rank1, rank5, rank10 and mAP by the published protocol; the same after `torchreid_` by that one; both
    again after `spectral_`, `reranked_` and `multi_query_` as options ask. queries, left_out (queries without
    a picture of their identity from another camera), gallery (its pictures but junk), junk (those of label
    -1), distractors (label 0). Left out queries are named on stderr; Refusal where all are. keeper: its
    `add(prefix, scores)` gets all scores that are ranked, a chunk of queries at a time.
    """
    if not isinstance(source, MarketFeatures):
        source = describe(source, pictures, how)
    features, query = source.normalised(pictures), pictures.query
    products = cosines(features.query, features.gallery)
    metrics, ranking = _measured("", products, pictures, keeper)
    _name_left_out(ranking, pictures)
    if options.spectral:
        new = _spectral(features, options.spectral)
        metrics.update(_measured("spectral_", new, pictures, keeper)[0])
    if options.rerank is not None:
        distances = options.rerank.distances(features.query, features.gallery)
        chunks = [(slice(0, len(distances)), -distances)]
        metrics.update(_measured("reranked_", chunks, pictures, keeper)[0])
    if options.multi_query and features.multi_query is not None:
        joined = multi_query_features(features, pictures)
        products = cosines(joined, features.gallery)
        metrics.update(_measured("multi_query_", products, pictures, keeper)[0])
    labels = np.asarray(pictures.gallery.labels)
    junk = int((labels == JUNK).sum())
    metrics.update(queries=len(query.names), left_out=ranking.left_out, gallery=len(labels) - junk)
    metrics.update(junk=junk, distractors=int((labels == 0).sum()))
    return metrics


def log_line(metrics, prefix=""):
    """The published line of the log."""
    values = [metrics[prefix + name] for name in ("rank1", "rank5", "rank10", "mAP")]
    return "[MARKET_EVAL] top1: {:.6f} top5: {:.6f} top10: {:.6f} mAP: {:.6f}".format(*values)


def top_ranks(features, pictures, queries, depth=10):
    """The list of RankedQuery of the query rows `queries`, `depth` gallery pictures each at most, in the
    published order (of equal scores the larger gallery row first)."""
    features = features.normalised(pictures)
    queries = np.asarray(queries, dtype=np.int64)
    labels, cameras = np.asarray(pictures.gallery.labels), np.asarray(pictures.gallery.cameras)
    heads = []
    for rows, scores in cosines(features.query[queries], features.gallery):
        for query, row in zip(queries[rows].tolist(), scores):
            label, camera = pictures.query.labels[query], pictures.query.cameras[query]
            junk = (labels == JUNK) | ((labels == label) & (cameras == camera))
            order = np.argsort(row, kind="stable")[::-1]
            order = order[~junk[order]][:depth]
            heads.append(RankedQuery(query, order, labels[order] == label, row[order]))
    return heads


def spread_queries(pictures, count):
    """int64 (at most `count`,): query rows spread evenly over the sorted names, for `top_ranks`."""
    total = len(pictures.query.names)
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64))


def multi_query_features(features, pictures):
    """float32 (q, D), unit rows: for each query the mean over the multi-query pictures of its identity and
    camera; its own feature where there is none.

    features: MarketFeatures of unit length. The convention of the data set (Zheng et al. 2015).
    """
    multi, groups = pictures.multi_query, {}
    for row, key in enumerate(zip(np.asarray(multi.labels).tolist(), np.asarray(multi.cameras).tolist())):
        groups.setdefault(key, []).append(row)
    joined = features.query.copy()
    query = pictures.query
    for row, key in enumerate(zip(np.asarray(query.labels).tolist(), np.asarray(query.cameras).tolist())):
        if key in groups:
            joined[row] = features.multi_query[groups[key]].mean(axis=0)
    return l2_normalised(joined, query.names)


def cosines(query, gallery):
    """Yield (slice of query rows, scores float32 (rows, g)): products of unit rows, float32 (n, D).

    Summed in float64 and rounded: equal pictures have equal scores wherever they stand in a matrix, so ties
    stay ties on every machine. Memory is that of a chunk.
    """
    step = max(1, CHUNK_BYTES // (8 * len(gallery)))
    for start in range(0, len(query), step):
        rows = slice(start, min(start + step, len(query)))
        left = query[rows].astype(np.float64)
        scores = np.empty((len(left), len(gallery)), dtype=np.float32)
        for first in range(0, len(gallery), GALLERY_TILE):
            tile = gallery[first : first + GALLERY_TILE].astype(np.float64)
            scores[:, first : first + GALLERY_TILE] = left @ tile.T
        yield rows, scores


def _spectral(features, temperature):
    for rows, scores in cosines(features.query, features.gallery):
        yield rows, rescored(scores, features.query[rows], features.gallery, temperature)


def _measured(prefix, chunks, pictures, keeper=None):
    """(metrics by both protocols, PersonRanking of the first one) of chunks as `cosines` yields them."""
    gallery, query = pictures.gallery, pictures.query
    kinds = [RankingAccumulator(gallery.labels, gallery.cameras, name) for name in PROTOCOLS]
    for rows, scores in chunks:
        for kind in kinds:
            kind.add(scores, query.labels[rows], query.cameras[rows])
        if keeper is not None:
            keeper.add(prefix, scores)
    metrics, rankings = {}, [kind.ranking() for kind in kinds]
    for ranking in rankings:
        metrics.update(named_metrics(prefix, ranking))
    return metrics, rankings[0]


def _name_left_out(ranking, pictures):
    """One line on stderr that counts the left out queries and names some; Refusal where all are left out."""
    rows, names = ranking.left_out_rows, pictures.query.names
    if not len(rows):
        return
    some = ", ".join(names[row] for row in rows[:5].tolist()) + (" and others" if len(rows) > 5 else "")
    if ranking.left_out == ranking.queries:
        cameras = np.unique(np.asarray(pictures.gallery.cameras)).tolist()
        raise Refusal(
            "all {} queries ({}) lack a gallery picture of their identity from another camera; the gallery "
            "has {} pictures of the cameras {}: check the folders and the naming".format(
                ranking.queries, some, len(pictures.gallery.names), cameras
            )
        )
    print(
        "encore: {} of {} queries have no gallery picture of their identity from another camera: {}".format(
            ranking.left_out, ranking.queries, some
        ),
        file=sys.stderr,
    )
