"""Detect pasted pictures and emojis on the queries, or take the published detections (`<query>.npy`)."""

from __future__ import annotations

import dataclasses
import os
from typing import Optional

from encore.data.image_source import open_source
from encore.data.manifest import Manifest
from encore.detection.detections import PUBLISHED_SIZE, Detections, write_detections
from encore.detection.retina_net import Selection
from encore.runtime.atomic import file_digest
from encore.runtime.parameters import limited, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.shared_memory import loader_bytes
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.isc_overlays.inference import detect_in_parts, open_detector
from encore.systems.isc_overlays.summary import count_found

QUERIES = "data/isc_queries"
DETECTOR = "models/isc_overlays/detector.pth"
OUTPUT = "data/isc_overlays_detections"
RETINA_NET, PUBLISHED = "retina_net", "published"


@dataclasses.dataclass(frozen=True)
class DetectParameters:
    """Parameters of the stage `detect`; confidence, overlap and most are published values of YOLOv5x."""

    detector: str = limited(choices=(RETINA_NET, PUBLISHED))
    published: Optional[str] = limited(None)
    """Folder of the published files, for detector `published`."""
    confidence: float = limited(0.1, low=0, high=1)
    overlap: float = limited(0.45, low=0, high=1)
    most: int = limited(1000, low=1)
    batch: int = limited(1, low=1)
    """Pictures a step; of no effect on the published files."""
    workers: int = limited(0, low=0, high=1024)
    export: bool = limited(False)
    """Write the published files beside the archive, too."""


def main():
    arguments = stage_parser(__doc__, maps=True).parse_args()
    with Stage("isc_overlays", "detect") as stage:
        parameters = stage.parameters(arguments.params, DetectParameters)
        queries = open_source(needed(QUERIES))
        parts = [parameters, Manifest.read(QUERIES).digest]
        own = parameters.detector == RETINA_NET
        if own:
            parts.append(file_digest(needed(DETECTOR)))
        work = stage.work_folder(recipe_digest(*parts))
        find = detect_now if own else take_published
        write_detections(work, queries.names, *find(parameters, queries, work, stage))
        detections = Detections.open(work)
        if parameters.export:
            detections.export(work)
        stage.publish(work, OUTPUT)
        stage.metrics(dataclasses.asdict(count_found(detections)))


def detect_now(parameters, queries, work, stage):
    """(arrays of the detections, long side of the frame)"""
    selection = Selection(parameters.confidence, parameters.overlap, parameters.most)
    network, shape = open_detector(DETECTOR, selection)
    batch, workers = parameters.batch, parameters.workers
    stage.need_shared_memory(loader_bytes(workers, batch * 3 * shape.size**2), "frames")
    return detect_in_parts(work, network, queries, shape.size, batch, workers), shape.size


def take_published(parameters, queries, work, stage):
    """(arrays of the published detections, long side of their frame)"""
    if parameters.published is None:
        raise Refusal(
            "isc_overlays.detect: detector published needs the key published: the folder of its files"
        )
    if not os.path.isdir(parameters.published):
        raise Refusal("{}: missing: place the published detections there".format(parameters.published))
    detections = Detections.open(parameters.published)
    detections.refuse_strangers(queries.names)
    return [detections.of(name) for name in queries.names], PUBLISHED_SIZE


if __name__ == "__main__":
    run_stage(main)
