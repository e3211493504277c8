"""Prepare the query set: the queries of phase 1 as given, or made from references with a held-out seed."""

from __future__ import annotations

from encore.runtime.atomic import file_digest
from encore.runtime.parameters import recipe_digest
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.drip.held_out_queries import DripQueryParameters, write_drip_queries

OUTPUT = "data/drip/queries"


def main():
    arguments = stage_parser(__doc__, maps=True).parse_args()
    with Stage("drip", "queries") as stage:
        parameters = stage.parameters(arguments.params, DripQueryParameters)
        digest = recipe_digest(parameters.recipe(), stage.inputs("drip_queries", "drip_references"))
        if parameters.held_out is not None:  # what is pasted on them, and on what they are pasted
            digest = recipe_digest(digest, stage.inputs("drip_imagenet", "drip_templates"))
        if parameters.ground_truth is not None:
            digest = recipe_digest(digest, file_digest(needed(parameters.ground_truth)))
        work = stage.work_folder(digest)
        manifest, raised = write_drip_queries(work, parameters, digest)
        stage.publish(work, OUTPUT)
        stage.metrics(dict(raised, queries=manifest.count, bytes=manifest.bytes))


if __name__ == "__main__":
    run_stage(main)
