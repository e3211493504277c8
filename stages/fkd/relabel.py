"""Store what the teacher says of every epoch's crops and mixes of the synthetic pictures.

With --output beside the pipeline, where ranges of epochs made on several machines add up in one folder.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from typing import Optional

from encore.data.class_folders import ClassFolders
from encore.runtime.atomic import file_digest
from encore.runtime.parameters import read_parameters, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.fkd.label_conversion import to_published
from encore.systems.fkd.networks import NetworkShape, build, frozen, load_weights
from encore.systems.fkd.relabel import RelabelRecipe, relabel
from encore.systems.fkd.sections import NETWORK, SYSTEM, TEACHER

OUTPUT = "data/fkd/labels"
STORE, PUBLISHED = "store", "published"
"""Folders in OUTPUT: our label store and, where asked for, the published layout."""


@dataclass(frozen=True)
class RelabelParameters:
    """The section fkd.relabel."""

    images: str = "data/fkd/synthetic"
    teacher: str = TEACHER
    """Weights; the network is that of the section fkd.network."""
    published_layout: bool = False
    """Write the labels in the published layout too (all classes only), for the published trainer."""
    recipe: RelabelRecipe = field(default_factory=RelabelRecipe)

    def __post_init__(self):
        if self.published_layout and self.recipe.top_k is not None:
            raise Refusal("published_layout holds all classes: leave top_k out, or published_layout")


def main():
    parser = stage_parser(__doc__)
    parser.add_argument("--output", metavar="FOLDER", help="make the labels there, beside the pipeline")
    parser.add_argument("--epoch-start", type=int, default=0, metavar="E", help="with --output: first epoch")
    parser.add_argument(
        "--epoch-end", type=int, metavar="E", help="with --output: epoch after the last one (default: all)"
    )
    arguments = parser.parse_args()
    if arguments.output is None and (arguments.epoch_start or arguments.epoch_end is not None):
        raise Refusal("--epoch-start and --epoch-end: a range of epochs needs a folder of its own: --output")
    item = "" if arguments.output is None else _item(arguments)
    with Stage(SYSTEM, "relabel" if arguments.output is None else "relabel_by_hand", item) as stage:
        parameters = read_parameters(arguments.params, "fkd.relabel", RelabelParameters)
        shape = read_parameters(arguments.params, NETWORK, NetworkShape)
        stage.seed = parameters.recipe.seed
        stage.recorded["parameters"] = dataclasses.asdict(parameters)
        stage.recorded["other_parameters"] = {"network": dataclasses.asdict(shape)}
        images, digest = ClassFolders(needed(parameters.images)), file_digest(needed(parameters.teacher))
        stage.recorded.update(teacher_sha256=digest, pictures_digest=images.digest)
        run = _Run(stage, parameters, shape, images, digest)
        if arguments.output is None:
            run.in_pipeline()
        else:
            run.by_hand(arguments.output, arguments.epoch_start, arguments.epoch_end)


@dataclass(frozen=True)
class _Run:
    stage: Stage
    parameters: RelabelParameters
    shape: NetworkShape
    images: ClassFolders
    teacher_digest: str

    def in_pipeline(self):
        stage, parameters = self.stage, self.parameters
        made_of = parameters.recipe.digest(), self.images.digest, self.teacher_digest
        work = stage.work_folder(recipe_digest(parameters.published_layout, *made_of))
        output = os.path.join(work, "labels")
        labels = self.made(os.path.join(output, STORE), None, 2 if parameters.published_layout else 1)
        if parameters.published_layout:
            to_published(labels, os.path.join(output, PUBLISHED))
        stored = sum(os.path.getsize(os.path.join(labels.folder, name)) for name in os.listdir(labels.folder))
        stage.metrics(
            {
                "pictures": labels.count,
                "classes": labels.classes,
                "epochs": labels.epochs,
                "batches": labels.epochs * labels.batches,
                "bytes_per_picture": stored / (labels.epochs * labels.count),
            }
        )
        stage.publish(output, OUTPUT)

    def by_hand(self, folder, start, end):
        epochs = range(start, self.parameters.recipe.epochs if end is None else end)
        labels = self.made(folder, epochs)
        if labels is None:
            print("{}: epochs {} to {} are there, others are missing".format(folder, start, epochs.stop - 1))
        elif self.parameters.published_layout:
            to_published(labels, folder.rstrip("/") + "_published")

    def made(self, folder, epochs: Optional[range], layouts=1):
        recipe, stage = self.parameters.recipe, self.stage
        classes = self.shape.classes if recipe.top_k is None else 2 * recipe.top_k
        bytes_each = classes * (2 if recipe.half else 4) + 32
        asked = recipe.epochs if epochs is None else len(epochs)
        stage.need_disk(layouts * asked * len(self.images) * bytes_each, "labels", folder)
        stage.need_shared_memory(recipe.shared_memory(), "batches of pictures")
        teacher = load_weights(build(self.shape, recipe.seed, recipe.size), self.parameters.teacher)
        return relabel(
            recipe,
            self.images,
            frozen(teacher),
            folder,
            self.shape.classes,
            self.teacher_digest,
            epochs=epochs,
        )


def _item(arguments):
    """Name of a run by hand: two ranges of one label set may run at a time."""
    name = os.path.basename(os.path.abspath(arguments.output))
    return "{}.{}-{}".format(name, arguments.epoch_start, arguments.epoch_end or "end")


if __name__ == "__main__":
    run_stage(main)
