"""What the stages squeeze, train_kd and baseline share: one classifier from its values to its files."""

from __future__ import annotations

import os
from typing import NamedTuple, Optional

from encore.data.class_folders import ClassFolders
from encore.metrics.evidence.evidence_file import WrittenEvidence
from encore.runtime.atomic import file_digest
from encore.runtime.parameters import recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import needed
from encore.systems.fkd.classification import train_classifier, write_result
from encore.systems.fkd.classifier_recipe import ClassifierRecipe
from encore.systems.fkd.networks import NetworkShape, build, load_weights
from encore.systems.fkd.tracking import HISTORY
from encore.systems.fkd.validation import ANSWERS
from encore.training.curves import write_curves
from encore.training.replay_step import is_first


class ClassifierRun(NamedTuple):
    """A network, what it is trained on and where it goes."""

    recipe: ClassifierRecipe
    shape: NetworkShape
    images: ClassFolders
    validation: ClassFolders
    output: str
    teacher: Optional[str] = None
    """Its file; None: labels."""
    teacher_shape: Optional[NetworkShape] = None


def train_and_publish(stage, run):
    """Train in the stage's work folder, going on from what is there, and publish weights, curves and
    metrics. A further process of the run only trains."""
    recipe = run.recipe
    refuse_other_classes(run.shape, run.images, "the network")
    teacher, digest = _teacher(run)
    network = build(run.shape, recipe.seed, recipe.size)
    folder = _work_folder(stage, run, digest) if is_first() else None
    trained = train_classifier(recipe, network, run.images, run.validation, folder, teacher, digest)
    if is_first():
        _publish(stage, run, trained, folder)


def _work_folder(stage, run, digest):
    recipe = run.recipe
    stage.seed = recipe.seed
    stage.need_shared_memory(recipe.shared_memory(), "pictures of the next updates")
    return stage.work_folder(
        recipe_digest(recipe.digest(), run.shape, run.images.digest, run.validation.digest, digest)
    )


def _publish(stage, run, trained, folder):
    recipe = run.recipe
    made = os.path.join(folder, "result.pth")
    write_result(made, trained, recipe)
    write_curves(os.path.join(folder, HISTORY), curves_path(stage))
    stage.evidence(WrittenEvidence(os.path.join(folder, ANSWERS)))
    stage.metrics(
        {
            "top1": trained.top1,
            "top5": trained.top5,
            "best_top1": trained.best_top1,
            "validation_loss": trained.loss,
            "train_loss": trained.train_loss,
            "epochs": recipe.epochs,
            "steps": trained.steps,
            "images": len(run.images),
            "validation_images": len(run.validation),
        }
    )
    stage.publish(made, run.output)


def refuse_other_classes(shape, images, what):
    """Refuse `images` (ClassFolders) of another number of classes than the network of `shape` has outputs."""
    if len(images.classes) != shape.classes:
        raise Refusal(
            "{} has {} outputs, {} {} class folders: change its classes, or the pictures".format(
                what, shape.classes, images.spec, len(images.classes)
            )
        )


def _teacher(run):
    """(network, SHA-256 of its file), or (None, None)."""
    if run.recipe.distillation is None:
        return None, None
    if run.teacher is None:
        raise Refusal("a distillation needs a teacher: give teacher, or leave recipe.distillation out")
    path = needed(run.teacher)
    refuse_other_classes(run.teacher_shape, run.images, "the teacher")
    return load_weights(build(run.teacher_shape, 0, run.recipe.size), path), file_digest(path)


def curves_path(stage):
    """Where the curves of a stage's run go."""
    parts = [part for part in ("plots", stage.system, stage.name, stage.item) if part]
    return os.path.join(*parts) + ".csv"
