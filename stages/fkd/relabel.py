"""Store what the teacher says of every epoch's crops and mixes of the synthetic pictures; accepts every flag
of the published script.

With --output, or with published flags, beside the pipeline, where ranges of epochs made on several machines
add up in one folder. A published flag that is not given has its published default; the labels then go to
--fkd-path in the published layout, and as our store to a folder beside it, FKD_PATH_store.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

import numpy as np

from encore.data.class_folders import ClassFolders
from encore.metrics.evidence.counts import Counts
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.runtime.atomic import file_digest
from encore.runtime.parameters import read_parameters, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.fkd.label_conversion import to_published
from encore.systems.fkd.networks import NetworkShape, build, frozen, load_weights
from encore.systems.fkd.relabel import RECORD, RelabelRecipe, relabel
from encore.systems.fkd.relabel_flags import SAVE, add_relabel_flags, published_recipe, typed, with_defaults
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


class LabelRun(NamedTuple):
    """A relabelling from its values to its folders."""

    shape: NetworkShape
    parameters: RelabelParameters
    store: Optional[str] = None
    """By hand: folder of our label store; None: the pipeline's run."""
    published: Optional[str] = None
    """By hand: folder of the published layout, where asked for."""
    epochs: Optional[range] = None
    """By hand: those to make here."""


def run_of(arguments, chosen):
    """The run that the command line describes; `chosen`: key -> value of the published flags that were typed.
    Refusal for flags that do not fit together."""
    shape = read_parameters(arguments.params, NETWORK, NetworkShape)
    parameters = read_parameters(arguments.params, "fkd.relabel", RelabelParameters)
    if chosen:
        return _published_run(arguments, chosen, shape, parameters)
    if arguments.output is None:
        if arguments.epoch_start or arguments.epoch_end is not None:
            raise Refusal(
                "--epoch-start and --epoch-end: a range of epochs needs a folder of its own: --output, or "
                "--fkd-path with published flags"
            )
        return LabelRun(shape, parameters)
    published = arguments.output.rstrip("/") + "_published" if parameters.published_layout else None
    return LabelRun(shape, parameters, arguments.output, published, _epochs(arguments, parameters.recipe))


def _published_run(arguments, chosen, shape, parameters):
    """The run of a published command line, with the published defaults. The teacher's weights, which the
    published script downloads, and what it has no flag for are those of the parameter file."""
    if arguments.output is not None:
        raise Refusal("--output: published flags name their folder with --fkd-path: leave one of them out")
    values = with_defaults(chosen)
    if values["images"] is None:
        raise Refusal("--data: missing: name the folder of pictures, or leave the published flags out")
    if values["mode"] != SAVE:
        raise Refusal(
            "--mode {}: {} alone makes labels: leave --mode out; stages.fkd.train reads labels".format(
                values["mode"], SAVE
            )
        )
    name = values["arch"]
    if name != shape.name:
        if "arch_path" not in chosen:
            raise Refusal(
                "--arch {}: the parameter file's network is {}: name that one, or give the weights of {} "
                "with --arch-path".format(name, shape.name, name)
            )
        shape = NetworkShape(name, shape.classes, shape.small_stem)
    parameters = dataclasses.replace(
        parameters,
        images=values["images"],
        teacher=chosen.get("arch_path", parameters.teacher),
        published_layout=True,
        recipe=published_recipe(parameters.recipe, chosen),
    )
    folder = values["fkd_path"].rstrip("/")
    store = folder + "_store"
    _refuse_other_labels(folder, store)
    return LabelRun(shape, parameters, store, folder, _epochs(arguments, parameters.recipe))


def _refuse_other_labels(folder, store):
    """Refuse a folder for the published layout that holds anything while the store beside it is not there."""
    if os.path.isdir(folder) and os.listdir(folder) and not os.path.isfile(os.path.join(store, RECORD)):
        raise Refusal(
            "--fkd-path {}: holds files that were not made of {}: remove it, or choose another folder".format(
                folder, store
            )
        )


def _epochs(arguments, recipe):
    return range(arguments.epoch_start, recipe.epochs if arguments.epoch_end is None else arguments.epoch_end)


def main():
    parser = stage_parser(__doc__, maps=True)
    parser.add_argument("--output", metavar="FOLDER", help="make the labels there, beside the pipeline")
    parser.add_argument("--epoch-start", type=int, default=0, metavar="E", help="by hand: first epoch")
    parser.add_argument(
        "--epoch-end", type=int, metavar="E", help="by hand: epoch after the last one (default: all)"
    )
    arguments = add_relabel_flags(parser).parse_args()
    chosen, warnings = typed(arguments)
    run = run_of(arguments, chosen)
    for warning in warnings:
        print("encore: warning: {}".format(warning), file=sys.stderr)
    name, parameters = "relabel" if run.store is None else "relabel_by_hand", run.parameters
    with Stage(SYSTEM, name, _item(run, arguments), parameters.recipe.seed) as stage:
        stage.recorded["parameters"] = dataclasses.asdict(parameters)
        stage.recorded["other_parameters"] = {"network": dataclasses.asdict(run.shape)}
        stage.recorded["published_flags"] = {key: str(value) for key, value in sorted(chosen.items())}
        images, digest = ClassFolders(needed(parameters.images)), file_digest(needed(parameters.teacher))
        stage.recorded.update(teacher_sha256=digest, pictures_digest=images.digest)
        labelling = _Labelling(stage, run, images, digest)
        if run.store is None:
            labelling.in_pipeline()
        else:
            labelling.by_hand()


@dataclass(frozen=True)
class _Labelling:
    stage: Stage
    run: LabelRun
    images: ClassFolders
    teacher_digest: str

    def in_pipeline(self):
        stage, parameters = self.stage, self.run.parameters
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
        stage.evidence(EvidenceFile(Counts.of_sums({"batches": stored_batches(labels)})))
        stage.publish(output, OUTPUT)

    def by_hand(self):
        run, epochs = self.run, self.run.epochs
        labels = self.made(run.store, epochs, 1 if run.published is None else 2)
        if labels is None:
            print(
                "{}: epochs {} to {} are there, others are missing".format(
                    run.store, epochs.start, epochs.stop - 1
                )
            )
        elif run.published is not None:
            to_published(labels, run.published)

    def made(self, folder, epochs: Optional[range], layouts=1):
        shape, parameters, stage = self.run.shape, self.run.parameters, self.stage
        recipe = parameters.recipe
        classes = shape.classes if recipe.top_k is None else 2 * recipe.top_k
        bytes_each = classes * (2 if recipe.half else 4) + 32
        asked = recipe.epochs if epochs is None else len(epochs)
        stage.need_disk(layouts * asked * len(self.images) * bytes_each, "labels", folder)
        stage.need_shared_memory(recipe.shared_memory(), "batches of pictures")
        teacher = load_weights(build(shape, recipe.seed, recipe.size), parameters.teacher)
        return relabel(
            recipe,
            self.images,
            frozen(teacher),
            folder,
            shape.classes,
            self.teacher_digest,
            epochs=epochs,
        )


def stored_batches(labels):
    """int64 (epochs,): batches of each epoch that are in its file: whose pictures are none of an earlier
    batch, nor twice its own. What was never written holds picture 0 throughout."""
    found = [_stored(labels.stored_pictures(epoch), labels.batch) for epoch in range(labels.epochs)]
    return np.array(found, dtype=np.int64)


def _stored(pictures, batch):
    again = np.ones(len(pictures), dtype=bool)
    again[np.unique(pictures, return_index=True)[1]] = False
    return sum(not again[first : first + batch].any() for first in range(0, len(pictures), batch))


def _item(run, arguments):
    """Name of a run by hand: two ranges of one label set may run at a time."""
    if run.store is None:
        return ""
    name = os.path.basename(os.path.abspath(run.store))
    return "{}.{}-{}".format(name, arguments.epoch_start, arguments.epoch_end or "end")


if __name__ == "__main__":
    run_stage(main)
