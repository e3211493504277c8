"""Prepare the data set of the pair models: given query and reference pictures, or pairs that are made."""

from __future__ import annotations

from encore.runtime.atomic import file_digest
from encore.runtime.parameters import recipe_digest
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.isc_track1.data_sets import BASELINE_PAIR, training_set_folder
from encore.systems.isc_track1.pairs import PairParameters, write_pairs

OUTPUT = training_set_folder(BASELINE_PAIR)


def main():
    arguments = stage_parser(__doc__, maps=True).parse_args()
    with Stage("isc_track1", "pairs") as stage:
        parameters = stage.parameters(arguments.params, PairParameters)
        if parameters.held_out is not None:
            stage.seed = parameters.held_out.seed
        digest = recipe_digest(
            parameters.recipe(), stage.inputs("pair_queries", "reference_images", "foreign_images")
        )
        if parameters.ground_truth is not None:
            digest = recipe_digest(digest, file_digest(needed(parameters.ground_truth)))
        work = stage.work_folder(digest)
        written = write_pairs(work, parameters, digest)
        stage.publish(work, OUTPUT)
        stage.metrics(written._asdict())


if __name__ == "__main__":
    run_stage(main)
