"""Train a student on the stored labels: `train STUDENT`, e.g. `train resnet18`; accepts every flag of the
published trainer, and without STUDENT takes its defaults."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from typing import NamedTuple

from encore.data.class_folders import ClassFolders
from encore.metrics.evidence.evidence_file import WrittenEvidence
from encore.runtime.parameters import read_parameters, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import needed, run_stage, stage_parser
from encore.systems.fkd.first_process import stage_of_process
from encore.systems.fkd.labels import open_labels
from encore.systems.fkd.networks import NetworkShape, build
from encore.systems.fkd.sections import STUDENTS
from encore.systems.fkd.tracking import HISTORY, hide_key, run_name
from encore.systems.fkd.train_flags import add_train_flags, published_recipe, typed, with_flags
from encore.systems.fkd.train_recipe import StudentRecipe
from encore.systems.fkd.training import check_data, train_student
from encore.systems.fkd.validation import ANSWERS
from encore.training.curves import write_curves
from encore.training.replay_step import add_replay_step, is_first

BESIDE = ("wandb", "wandb_project", "wandb_api_key")
"""Flags that change no result, and that the pipeline's run takes too."""
PUBLISHED_OUTPUT = "./save/1024"


@dataclass(frozen=True)
class TrainParameters:
    """The section fkd.train."""

    validation: str
    """Folder (or `file.tar#prefix`) of validation pictures, one folder a class."""
    images: str = "data/fkd/synthetic"
    labels: str = "data/fkd/labels/store"
    accumulation_of: dict = field(default_factory=dict)
    """Student -> chunks a batch in place of the recipe's, for those that the card does not hold otherwise."""
    recipe: StudentRecipe = field(default_factory=StudentRecipe)


class StudentRun(NamedTuple):
    """One student from its values to its folder."""

    name: str
    shape: NetworkShape
    parameters: TrainParameters
    output: str
    """Where the result goes; by hand, also where it is made."""
    by_hand: bool
    key: str
    """wandb's, or None."""


def pipeline_run(arguments, chosen):
    """The run of the student that the command line names, with what the typed flags change."""
    parameters = read_parameters(arguments.params, "fkd.train", TrainParameters)
    shape = read_parameters(arguments.params, "%s.%s" % (STUDENTS, arguments.student), NetworkShape)
    by_hand = any(key not in BESIDE for key in chosen)
    if by_hand and "output_dir" not in chosen:
        raise Refusal(
            "flags describe a run beside the pipeline: name its folder with --output-dir, or change "
            "fkd.train in {}".format(arguments.params)
        )
    recipe = parameters.recipe
    if arguments.student in parameters.accumulation_of:
        recipe = dataclasses.replace(recipe, accumulation=parameters.accumulation_of[arguments.student])
    if "model" in chosen:
        shape = NetworkShape(chosen["model"], shape.classes)
    parameters = dataclasses.replace(
        parameters,
        validation=chosen.get("val_dir", parameters.validation),
        images=chosen.get("train_dir", parameters.images),
        labels=chosen.get("fkd_path", parameters.labels),
        recipe=with_flags(recipe, chosen),
    )
    output = chosen.get("output_dir", "models/fkd/students/" + arguments.student)
    return StudentRun(arguments.student, shape, parameters, output, by_hand, chosen.get("wandb_api_key"))


def published_run(chosen):
    """The run of a published command line, with the published defaults and no parameter file."""
    for key, flag in (("train_dir", "--train-dir"), ("val_dir", "--val-dir"), ("fkd_path", "--fkd-path")):
        if key not in chosen:
            raise Refusal(
                "{}: missing: name the folder, or a STUDENT of the parameter file before the flags".format(
                    flag
                )
            )
    labels = open_labels(chosen["fkd_path"])
    recipe = with_flags(published_recipe(), chosen)
    recipe = dataclasses.replace(
        recipe,
        size=labels.size or recipe.size,
        mean=labels.mean or recipe.mean,
        deviation=labels.deviation or recipe.deviation,
    )
    shape = NetworkShape(chosen.get("model", "resnet18"), labels.classes)
    parameters = TrainParameters(chosen["val_dir"], chosen["train_dir"], chosen["fkd_path"], recipe=recipe)
    output = chosen.get("output_dir", PUBLISHED_OUTPUT)
    return StudentRun(shape.name, shape, parameters, output, True, chosen.get("wandb_api_key"))


def main():
    parser = stage_parser(__doc__)
    parser.add_argument("student", nargs="?", metavar="STUDENT", help="a name in the section %s" % STUDENTS)
    add_replay_step(parser)
    arguments = add_train_flags(parser).parse_args()
    hide_key()
    chosen = typed(arguments)
    run = pipeline_run(arguments, chosen) if arguments.student else published_run(chosen)
    name = "train_by_hand" if run.by_hand else "train"  # its records stay apart from the pipeline's
    item = run_name(run.output) if run.by_hand else run.name
    with stage_of_process(name, item, seed=run.parameters.recipe.seed) as stage:
        stage.recorded["parameters"] = dataclasses.asdict(run.parameters)
        stage.recorded["other_parameters"] = {"students.%s" % run.name: dataclasses.asdict(run.shape)}
        stage.recorded["published_flags"] = {
            key: str(value) for key, value in sorted(chosen.items()) if key != "wandb_api_key"
        }
        _train(run, stage)


def _train(run, stage):
    parameters, recipe = run.parameters, run.parameters.recipe
    if is_first():  # the others get theirs from it
        stage.need_shared_memory(recipe.shared_memory(), "batches of pictures")
    labels = open_labels(needed(parameters.labels))
    images, validation = ClassFolders(needed(parameters.images)), ClassFolders(parameters.validation)
    check_data(recipe, labels, images, validation)
    _refuse_other_classes(run.shape, labels, images)
    student = build(run.shape, recipe.seed, recipe.size)
    folder = None
    if is_first():
        folder = run.output if run.by_hand else _work_folder(run, stage, labels, images, validation)
    result = train_student(
        recipe, student, labels, images, validation, folder, key=run.key, name=_run_name(run)
    )
    if is_first():
        _keep(run, stage, result, folder, validation)


def _keep(run, stage, result, folder, validation):
    """What a finished run writes, besides its checkpoints."""
    curves = os.path.join(folder, "curves.csv") if run.by_hand else "plots/fkd/train/%s.csv" % run.name
    write_curves(os.path.join(folder, HISTORY), curves)
    if run.by_hand:  # beside the pipeline: its metrics stay those of its own run
        return
    stage.evidence(WrittenEvidence(os.path.join(folder, ANSWERS)))
    stage.metrics(
        {
            "top1": result.top1,
            "top5": result.top5,
            "best_top1": result.best_top1,
            "validation_loss": result.loss,
            "train_loss": result.train_loss,
            "epochs": run.parameters.recipe.epochs,
            "steps": result.steps,
            "validation_images": len(validation),
        }
    )
    stage.publish(folder, run.output)


def _run_name(run):
    return None if run.by_hand else run.name


def _work_folder(run, stage, labels, images, validation):
    held = dict(dataclasses.asdict(labels.description), digest=labels.digest)
    return stage.work_folder(
        recipe_digest(run.parameters.recipe.digest(), run.shape, held, images.digest, validation.digest)
    )


def _refuse_other_classes(shape, labels, images):
    for what, found in (("labels of", labels.classes), ("picture folders of", len(images.classes))):
        if found > shape.classes or (what == "labels of" and found != shape.classes):
            raise Refusal(
                "the student has {} outputs, found {} {} classes: change fkd.students, or the labels".format(
                    shape.classes, what, found
                )
            )


if __name__ == "__main__":
    run_stage(main)
