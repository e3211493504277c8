"""Evaluate the best network of a run: `evaluate_run RUN`, a name in the list reid.evaluated.

Ranks the gallery for each query by both protocols, for several pictures of a query, and re-ranked, and writes
the first matches of each query, to be looked at.
"""

from __future__ import annotations

import csv
import os
import posixpath
from dataclasses import asdict, dataclass
from typing import Optional

from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.metrics.evidence.person_rankings import OrderKeeper, PersonRankings
from encore.metrics.person_ranking import PROTOCOLS, RankingAccumulator
from encore.runtime.atomic import file_digest, replacing
from encore.runtime.parameters import limited, read_parameters, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.search.k_reciprocal import KReciprocal
from encore.systems.reid import SYSTEM
from encore.systems.reid.evaluation_input import evaluation_size
from encore.systems.reid.evaluation_pictures import open_evaluation_pictures
from encore.systems.reid.features import Extraction
from encore.systems.reid.market_evaluation import (
    MarketOptions,
    cosines,
    describe,
    evaluate,
    log_line,
    top_ranks,
)
from encore.systems.reid.params_json import NAMINGS
from encore.systems.reid.trained_network import load_run

MODELS = "models/reid/{}"
FIRST_MATCHES = "predictions/reid/{}.csv"
CMC = "plots/reid/cmc/{}.csv"
RANKS, DEPTH = 50, 10


@dataclass(frozen=True)
class EvaluationParameters:
    """The section reid.evaluation."""

    root: str
    """Folder or tar with the query and gallery pictures."""
    naming: str = limited("market", choices=NAMINGS)
    batch_size: int = limited(64, low=1)
    workers: int = limited(4, low=0, high=1024)
    multi_query: bool = True
    """Where there are further pictures of the queries."""
    reranking: Optional[KReciprocal] = None
    spectral_transform: float = limited(0.0, low=0)
    """Temperature, 0: none."""


def main():
    parser = stage_parser(__doc__)
    parser.add_argument("run", metavar="RUN", help="a name in the list reid.evaluated")
    arguments = parser.parse_args()
    parameters = read_parameters(arguments.params, "reid.evaluation", EvaluationParameters)
    with Stage(SYSTEM, "evaluate", arguments.run) as stage:
        params, network, weights = load_run(needed(MODELS.format(arguments.run)))
        stage.seed = params.encore.seed
        stage.recorded.update(weights=weights, weights_sha256=file_digest(weights))
        stage.recorded["other_parameters"] = {"evaluation": asdict(parameters)}
        pictures = open_evaluation_pictures(parameters.root, parameters.naming)
        if parameters.multi_query and pictures.multi_query is None:
            raise Refusal(
                "reid.evaluation.multi_query: {} holds no gt_bbox or multi-query folder: put it there or set "
                "multi_query to false".format(parameters.root)
            )
        features = described(network, params, pictures, parameters)
        options = MarketOptions(parameters.spectral_transform, parameters.reranking, parameters.multi_query)
        keeper = OrderKeeper()
        metrics = evaluate(features, pictures, options, keeper=keeper)
        print(log_line(metrics))
        stage.metrics(metrics)
        stage.evidence(EvidenceFile(PersonRankings.of(pictures.query, pictures.gallery, keeper)))
        write_cmc(features, pictures, CMC.format(arguments.run))
        work = os.path.join(stage.work_folder(recipe_digest(parameters)), "first_matches.csv")
        write_first_matches(features, pictures, work)
        stage.publish(work, FIRST_MATCHES.format(arguments.run))


def described(network, params, pictures, parameters):
    """The MarketFeatures of the pictures by a run's network."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = evaluation_size(params.as_mapping())
    how = Extraction(size, parameters.batch_size, device, parameters.workers)
    return describe(network.to(device), pictures, how, params.encore.query_flip)


def write_cmc(features, pictures, path):
    """Write the shares of queries with a hit by rank, 1 to RANKS, by both protocols, as CSV."""
    gallery, query = pictures.gallery, pictures.query
    unit = features.normalised(pictures)
    kinds = [RankingAccumulator(gallery.labels, gallery.cameras, name) for name in PROTOCOLS]
    for rows, scores in cosines(unit.query, unit.gallery):
        for kind in kinds:
            kind.add(scores, query.labels[rows], query.cameras[rows])
    curves = [kind.ranking().cmc(min(RANKS, len(gallery.names))) for kind in kinds]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with replacing(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["rank"] + list(PROTOCOLS))
        for rank, values in enumerate(zip(*curves), 1):
            writer.writerow([rank] + [float(value) for value in values])


def write_first_matches(features, pictures, path):
    """Write the first DEPTH gallery pictures of each query, without junk, as CSV: query, rank, gallery (names
    below the evaluation root), score, state (right, wrong, or distractor: a picture of no identity)."""
    labels = pictures.gallery.labels
    names, queries = below_root(pictures.gallery), below_root(pictures.query)
    with replacing(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("query", "rank", "gallery", "score", "state"))
        for head in top_ranks(features, pictures, range(len(pictures.query.names)), DEPTH):
            for rank, (row, correct, score) in enumerate(zip(head.gallery, head.correct, head.scores), 1):
                state = "right" if correct else "wrong" if labels[row] else "distractor"
                writer.writerow((queries[head.query], rank, names[row], "%.6f" % score, state))


def below_root(pictures):
    """`split/name` of the pictures of one split."""
    split = posixpath.basename(pictures.spec.replace("#", "/"))
    return [posixpath.join(split, name) for name in pictures.names]


if __name__ == "__main__":
    run_stage(main)
