"""Generate the training set isc_100k_256 (published: 2,000,000 images of 100,000 classes)."""

from __future__ import annotations

from encore.data.image_source import open_source
from encore.data.shards import ShardSet
from encore.metrics.evidence.counts import Counts
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.runtime.parameters import recipe_digest
from encore.runtime.stage import Stage, run_stage, stage_parser
from encore.systems.isc.training_set import GenerateParameters, generate_training_set

OUTPUT = "data/isc_100k_256"


def main():
    arguments = stage_parser(__doc__, maps=True).parse_args()
    with Stage("isc_track2", "generate") as stage:
        parameters = stage.parameters(arguments.params, GenerateParameters)
        digest = recipe_digest(parameters.recipe(), stage.inputs("training_images", "foreign_images"))
        images = -(-len(open_source(parameters.images)) // parameters.every) * parameters.copies
        work = stage.work_folder(digest)
        stage.need_disk(images * parameters.chain.size**2 * 0.8, "{} images".format(images), work)
        manifest = generate_training_set(work, parameters, digest, "isc_track2")
        stage.evidence(EvidenceFile(Counts.of_labels(ShardSet(work).labels, classes="classes")))
        stage.publish(work, OUTPUT)
        stage.metrics({"images": manifest.count, "classes": manifest.classes, "bytes": manifest.bytes})


if __name__ == "__main__":
    run_stage(main)
