"""Prepare the query set: the given one, or queries made from references with a held-out seed."""

from __future__ import annotations

from encore.runtime.atomic import file_digest
from encore.runtime.parameters import recipe_digest
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.isc.query_set import QueryParameters, write_query_set

OUTPUT = "data/isc_queries"


def main():
    arguments = stage_parser(__doc__, maps=True).parse_args()
    with Stage("isc_track2", "queries") as stage:
        parameters = stage.parameters(arguments.params, QueryParameters)
        digest = recipe_digest(
            parameters.recipe(), stage.inputs("query_images", "reference_images", "foreign_images")
        )
        if parameters.ground_truth is not None:
            digest = recipe_digest(digest, file_digest(needed(parameters.ground_truth)))
        work = stage.work_folder(digest)
        manifest = write_query_set(work, parameters, digest, "isc_track2")
        stage.publish(work, OUTPUT)
        stage.metrics({"queries": manifest.count, "bytes": manifest.bytes})


if __name__ == "__main__":
    run_stage(main)
