"""Generate the overlay detector's training set: pictures with a picture or emojis pasted on, boxes known."""

from __future__ import annotations

from encore.data.image_source import open_source
from encore.data.shards import ShardSet
from encore.metrics.evidence.counts import Counts
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.runtime.parameters import recipe_digest
from encore.runtime.stage import Stage, run_stage, stage_parser
from encore.systems.isc_overlays.training_set import (
    GenerateParameters,
    generate_overlay_set,
    read_overlay_set,
)

OUTPUT = "data/isc_overlays"
BYTES_A_PICTURE = 400000
"""JPEG of quality 100 with about a megapixel, the size of the published foreign pictures."""


def main():
    arguments = stage_parser(__doc__, maps=True).parse_args()
    with Stage("isc_overlays", "generate") as stage:
        parameters = stage.parameters(arguments.params, GenerateParameters)
        digest = recipe_digest(parameters.recipe(), stage.inputs("training_images", "foreign_images"))
        images = -(-len(open_source(parameters.images)) // parameters.every) * parameters.copies
        work = stage.work_folder(digest)
        stage.need_disk(images * BYTES_A_PICTURE, "{} pictures".format(images), work)
        manifest = generate_overlay_set(work, parameters, digest)
        parts = read_overlay_set(work)
        stage.evidence(EvidenceFile(Counts.of_labels(ShardSet(work).labels)))
        stage.publish(work, OUTPUT)
        boxes = {part + "_boxes": sum(map(len, labelled.boxes)) for part, labelled in sorted(parts.items())}
        stage.metrics(
            dict(boxes, images=manifest.count, boxes=sum(boxes.values()), bytes=manifest.bytes),
        )


if __name__ == "__main__":
    run_stage(main)
