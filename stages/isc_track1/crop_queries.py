"""Make the augmented queries: rotations, centre crops, proposals of selective search, detections."""

from __future__ import annotations

import os

from encore.data.shards import ShardSet
from encore.runtime.atomic import file_digest
from encore.runtime.parameters import read_parameters, recipe_digest
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.isc.query_set import GROUND_TRUTH
from encore.systems.isc_track1.augmented_queries import (
    CropQueriesParameters,
    detections_digest,
    open_detections,
    write_augmented_queries,
)
from encore.systems.isc_track1.fuse_parameters import FuseParameters

QUERIES = "data/isc_queries"
OUTPUT = "data/isc_track1/queries"
GROWTH = 30
"""Bytes of the augmented pictures of a query over its own, at most."""


def main():
    arguments = stage_parser(__doc__, maps=True).parse_args()
    with Stage("isc_track1", "crop_queries") as stage:
        parameters = stage.parameters(arguments.params, CropQueriesParameters)
        queries = ShardSet(needed(QUERIES))
        check_truth(read_parameters(arguments.params, "isc_track1.fuse", FuseParameters), queries, parameters)
        found = open_detections(parameters, queries)
        digest = recipe_digest(
            parameters.recipe(),
            queries.manifest.digest,
            file_digest(needed(os.path.join(QUERIES, GROUND_TRUTH))),
            detections_digest(found, queries),
        )
        work = stage.work_folder(digest)
        stage.need_disk(GROWTH * queries.manifest.bytes / parameters.every, "augmented queries", work)
        made = write_augmented_queries(work, QUERIES, parameters, found, digest)
        stage.publish(work, OUTPUT)
        values = {
            "queries": made.queries,
            "augmented": made.augmented,
            "proposals": made.proposals,
            "detections": made.detections,
        }
        values.update(("small_{}".format(side), count) for side, count in sorted(made.small.items()))
        stage.metrics(values)


def check_truth(fuse, queries, parameters):
    """Refuse now, and not after the extraction, a ground truth that `fuse` (FuseParameters) will refuse.

    queries: ShardSet; parameters: CropQueriesParameters. It is the file that `fuse` names, or the one whose
    lines this stage hands on as that.
    """
    handed_on = os.path.normpath(fuse.ground_truth) == os.path.join(OUTPUT, GROUND_TRUTH)
    truth = fuse.read_truth(needed(os.path.join(QUERIES, GROUND_TRUTH) if handed_on else fuse.ground_truth))
    truth.check_pictures(queries.names, queries.folder, parameters.chosen(queries))


if __name__ == "__main__":
    run_stage(main)
