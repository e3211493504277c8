"""Generate one of the 11 training sets by its published name (published: 2,000,000 images and more each)."""

from __future__ import annotations

import os

from encore.data.shards import ShardSet
from encore.metrics.evidence.counts import Counts
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.runtime.atomic import file_digest
from encore.runtime.parameters import recipe_digest
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.isc_track1.data_sets import BY_TAG, data_set_of, training_set_folder
from encore.systems.isc_track1.faces import CHOSEN
from encore.systems.isc_track1.training_sets import (
    TrainingSetParameters,
    plan_training_set,
    write_training_set,
)

FACES = "data/isc_track1/faces"


def main():
    parser = stage_parser(__doc__, maps=True)
    parser.add_argument("tag", help="one of {}".format(", ".join(BY_TAG)))
    arguments = parser.parse_args()
    data_set = data_set_of(arguments.tag)
    with Stage("isc_track1", "generate", data_set.tag) as stage:
        parameters = stage.parameters(arguments.params, TrainingSetParameters)
        digest = recipe_digest(
            parameters.of(data_set).recipe(),
            data_set.name,
            stage.inputs("training_images", "face_images", "foreign_images"),
            file_digest(needed(os.path.join(FACES, CHOSEN))) if data_set.faces else None,
        )
        plan = plan_training_set(data_set, parameters, FACES)
        images = len(plan.classes) * parameters.copies
        work = stage.work_folder(digest)
        stage.need_disk(images * parameters.chain.size**2 * 0.8, "{} images".format(images), work)
        manifest = write_training_set(work, data_set, plan, parameters, digest)
        stage.recorded["plan"] = {"classes": len(plan.classes), "dropped": plan.dropped}
        stage.evidence(EvidenceFile(Counts.of_labels(ShardSet(work).labels, classes="classes")))
        stage.publish(work, training_set_folder(data_set.tag))
        stage.metrics(
            {
                "images": manifest.count,
                "classes": manifest.classes,
                "face_classes": plan.face_classes,
                "dropped": plan.dropped,
                "bytes": manifest.bytes,
            }
        )


if __name__ == "__main__":
    run_stage(main)
