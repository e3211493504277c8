"""Extract the descriptors of training pictures, references and queries at every scale, for one model."""

from __future__ import annotations

import dataclasses
import os
from typing import Optional, Tuple

from encore.data.image_source import open_source
from encore.data.manifest import Manifest
from encore.runtime.atomic import file_digest
from encore.runtime.parameters import limited, recipe_digest
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.isc.extraction import ExtractionRecipe, Extractor
from encore.systems.isc.parameters import network_shape
from encore.systems.isc.prepared_pictures import PictureReader, Preparation
from encore.training.checkpoint import load_stripped


@dataclasses.dataclass(frozen=True)
class ExtractParameters:
    """Parameters of the stage `extract`."""

    training: str = limited()
    references: str = limited()
    queries: str = limited()
    scales: Tuple[int, ...] = limited(low=8, high=4096)
    batch_size: int = limited(low=1)
    batches_per_chunk: int = limited(low=1)
    gem_exponent: Optional[float] = limited(low=0.0, high=100.0)
    workers: int = limited(low=0, high=1024)

    def recipe(self):
        return ExtractionRecipe(self.scales, self.batch_size, self.batches_per_chunk, self.gem_exponent)


def main():
    parser = stage_parser(__doc__, maps=True)
    parser.add_argument("model", help="name of the stripped weights in models/isc_track2")
    arguments = parser.parse_args()
    with Stage("isc_track2", "extract", item=arguments.model) as stage:
        parameters = stage.parameters(arguments.params, ExtractParameters)
        stage.need_shared_memory(parameters.recipe().shared_memory(parameters.workers), "decoded pictures")
        weights = "models/isc_track2/{}.pth.tar".format(arguments.model)
        work = stage.work_folder(
            recipe_digest(parameters.recipe(), file_digest(needed(weights)), identity(stage, parameters))
        )
        counts = extract(
            parameters, load_stripped(weights, network_shape(arguments.params, "isc_track2")), work
        )
        stage.publish(work, "descriptors/isc_track2/{}".format(arguments.model))
        stage.metrics(counts)


def identity(stage, parameters):
    """What the descriptors are made from: the recorded inputs and the content of the query set."""
    return [
        stage.inputs("training_images", "reference_images"),
        Manifest.read(parameters.queries).digest,
        parameters.training,
        parameters.references,
    ]


def extract(parameters, network, folder):
    """Write `<set>_<scale>` chunk files of the three sets into `folder`; returns the size of each set."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    extractor = Extractor(network, parameters.recipe(), PictureReader(parameters.workers), device)
    counts = {}
    for name in ("training", "references", "queries"):
        images = open_source(getattr(parameters, name))
        counts[name] = len(images)
        for size in parameters.scales:
            pattern = os.path.join(folder, "{}_{}.hdf5".format(name, size))
            extractor.to_files(images, Preparation(size), pattern)
    return counts


if __name__ == "__main__":
    run_stage(main)
