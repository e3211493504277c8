"""Train the overlay detector (published: YOLOv5x from COCO's weights; here RetinaNet) and measure it."""

from __future__ import annotations

import os

from encore.data.manifest import Manifest
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.runtime.atomic import file_digest
from encore.runtime.parameters import read_parameters, recipe_digest
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.isc_overlays.recipe import DetectorRecipe
from encore.systems.isc_overlays.training import CHECKPOINT, train
from encore.systems.isc_overlays.training_set import BOXES, read_overlay_set
from encore.training.replay_step import add_replay_step

DATA = "data/isc_overlays"
OUTPUT = "models/isc_overlays"


def main():
    parser = stage_parser(__doc__)
    add_replay_step(parser)
    arguments = parser.parse_args()
    if int(os.environ.get("RANK", "0")) > 0:  # a further process of the run: the first one keeps the records
        recipe = read_parameters(arguments.params, "isc_overlays.train", DetectorRecipe)
        train(recipe, read_overlay_set(needed(DATA)), None)
        return
    with Stage("isc_overlays", "train") as stage:
        recipe = stage.parameters(arguments.params, DetectorRecipe)
        labelled = read_overlay_set(needed(DATA))
        stage.need_shared_memory(recipe.shared_memory(), "batches of pictures")
        parts = [recipe.digest(), Manifest.read(DATA).digest, file_digest(os.path.join(DATA, BOXES))]
        if recipe.start is not None:
            parts.append(file_digest(needed(recipe.start)))
        work = stage.work_folder(recipe_digest(*parts))
        trained = train(recipe, labelled, work)
        os.unlink(os.path.join(work, CHECKPOINT))
        stage.publish(work, OUTPUT)
        precision = trained.precision
        of_class = {
            "average_precision_" + name.lower(): value for name, value in sorted(precision.of_class.items())
        }
        stage.evidence(EvidenceFile(precision.evidence))
        stage.metrics(
            dict(of_class, average_precision=precision.mean, validation_images=precision.pictures),
        )


if __name__ == "__main__":
    run_stage(main)
