"""Test one model: multi-scale descriptors, stretching, submission, search, micro average precision."""

from __future__ import annotations

import dataclasses
import glob
import os
from typing import Optional, Tuple

from encore.data.descriptors import read_descriptors, write_submission
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.runtime.parameters import limited, recipe_digest
from encore.runtime.shard_map import on_cluster
from encore.runtime.stage import Stage, run_stage, stage_parser
from encore.search.spread_search import SearchHere, SpreadSearch
from encore.search.stretching import Stretching
from encore.systems.isc_track2.test import EvaluationRecipe, evaluate, make_submission, multi_scale


@dataclasses.dataclass(frozen=True)
class TestParameters:
    """Parameters of the stage `test`."""

    ground_truth: str = limited()
    scales: Tuple[int, ...] = limited(low=8, high=4096)
    search: str = limited(choices=("capped", "knn"))
    neighbours: int = limited(low=1)
    stretching: Optional[Stretching] = limited(None)


def main():
    parser = stage_parser(__doc__, maps=True)
    parser.add_argument("model", help="name of the descriptors in descriptors/isc_track2")
    arguments = parser.parse_args()
    model = arguments.model
    with Stage("isc_track2", "test", item=model) as stage:
        parameters = stage.parameters(arguments.params, TestParameters)
        recipe = EvaluationRecipe(parameters.stretching, parameters.search, parameters.neighbours)
        work = stage.work_folder(recipe_digest(parameters))
        searches = SpreadSearch(os.path.join(work, "search")) if on_cluster() else SearchHere()
        folder = "descriptors/isc_track2/{}".format(model)
        sets = {
            name: multi_scale([read_set(folder, name, scale) for scale in parameters.scales])
            for name in ("queries", "references", "training")
        }
        submission = make_submission(sets["queries"], sets["references"], sets["training"], recipe, searches)
        result = evaluate(submission, parameters.ground_truth, recipe, searches)
        for write, name, output in (
            (lambda path: write_submission(path, submission), "submission.h5", "submission/isc_track2/{}.h5"),
            (result.write_predictions, "predictions.csv", "predictions/isc_track2/{}.csv"),
            (result.write_curve, "curve.csv", "plots/isc_track2/precision_recall/{}.csv"),
        ):
            write(os.path.join(work, name))
            stage.publish(os.path.join(work, name), output.format(model))
        stage.evidence(EvidenceFile(result.evidence(), result.sizes()))
        stage.metrics(dict(result.metrics, dimension=int(submission.query.shape[1])))


def read_set(folder, name, scale):
    """(ids, vectors) of one set at one scale, from its chunk files in the order of their numbers."""
    paths = glob.glob(os.path.join(glob.escape(folder), "{}_*_{}.hdf5".format(name, scale)))
    return read_descriptors(sorted(paths, key=lambda path: int(os.path.basename(path).split("_")[1])))


if __name__ == "__main__":
    run_stage(main)
