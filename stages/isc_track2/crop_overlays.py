"""Crop queries to the picture that was pasted on another one (published: by a YOLOv5 detector)."""

from __future__ import annotations

import dataclasses
import os
from typing import Optional

from encore.data.manifest import Manifest
from encore.detection.detections import ARCHIVE
from encore.runtime.atomic import file_digest
from encore.runtime.parameters import limited, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.isc_track2.overlay_crop import CROPPERS, crop_query_set

QUERIES = "data/isc_queries"
OUTPUT = "data/isc_queries_cropped"


@dataclasses.dataclass(frozen=True)
class CropParameters:
    """Parameters of the stage `crop_overlays`."""

    detector: str = limited(choices=tuple(sorted(CROPPERS)))
    detections: Optional[str] = limited(None)
    """Folder of the detections, for detector `detections`: data/isc_overlays_detections."""
    confidence: float = limited(0.1, low=0, high=1)
    """Of the crop that replaces a query, at least (published: 0.1, the detector's own)."""

    def __post_init__(self):
        if self.detector != "none" and self.detections is None:
            raise Refusal("detector {} needs the key detections: their folder".format(self.detector))


def main():
    arguments = stage_parser(__doc__).parse_args()
    with Stage("isc_track2", "crop_overlays") as stage:
        parameters = stage.parameters(arguments.params, CropParameters)
        parts = [parameters, Manifest.read(QUERIES).digest]
        if parameters.detector != "none":
            parts.append(file_digest(needed(os.path.join(parameters.detections, ARCHIVE))))
        digest = recipe_digest(*parts)
        work = stage.work_folder(digest)
        crop = CROPPERS[parameters.detector](parameters.detections, parameters.confidence)
        cropped = crop_query_set(QUERIES, work, crop, digest)
        stage.publish(work, OUTPUT)
        stage.metrics({"queries": cropped.queries, "cropped": cropped.changed})


if __name__ == "__main__":
    run_stage(main)
