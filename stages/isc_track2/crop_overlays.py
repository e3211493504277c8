"""Crop queries to the picture that was pasted on another one (published: by a YOLOv5 detector)."""

from __future__ import annotations

import dataclasses

from encore.data.manifest import Manifest
from encore.runtime.parameters import limited, recipe_digest
from encore.runtime.stage import Stage, run_stage, stage_parser
from encore.systems.isc_track2.overlay_crop import CROPPERS, crop_query_set

QUERIES = "data/isc_queries"
OUTPUT = "data/isc_queries_cropped"


@dataclasses.dataclass(frozen=True)
class CropParameters:
    """Parameters of the stage `crop_overlays`."""

    detector: str = limited(choices=tuple(sorted(CROPPERS)))


def main():
    arguments = stage_parser(__doc__).parse_args()
    with Stage("isc_track2", "crop_overlays") as stage:
        parameters = stage.parameters(arguments.params, CropParameters)
        digest = recipe_digest(parameters, Manifest.read(QUERIES).digest)
        work = stage.work_folder(digest)
        cropped = crop_query_set(QUERIES, work, CROPPERS[parameters.detector], digest)
        stage.publish(work, OUTPUT)
        stage.metrics({"queries": cropped.queries, "cropped": cropped.changed})


if __name__ == "__main__":
    run_stage(main)
