"""Provide the teacher: a published file of weights, or a training on labelled pictures."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from dataclasses import dataclass, field
from typing import Optional

import torch

from encore.data.class_folders import ClassFolders
from encore.runtime.atomic import replacing
from encore.runtime.parameters import limited, read_parameters, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import run_stage, stage_parser
from encore.systems.fkd.classification import validated
from encore.systems.fkd.classifier_recipe import SQUEEZE, changed_recipe
from encore.systems.fkd.classifier_stage import (
    ClassifierRun,
    curves_path,
    refuse_other_classes,
    train_and_publish,
)
from encore.systems.fkd.first_process import stage_of_process
from encore.systems.fkd.networks import (
    NetworkShape,
    build,
    load_weights,
    published_teacher,
)
from encore.systems.fkd.sections import NETWORK, TEACHER
from encore.systems.fkd.tracking import HISTORY
from encore.systems.fkd.validation import Answers
from encore.training.curves import write_curves
from encore.training.published_weights import check_named_digest, checked_digest
from encore.training.replay_step import add_replay_step, is_first


@dataclass(frozen=True)
class SqueezeParameters:
    """The section fkd.squeeze: exactly one of `published` and `images`; the network is fkd.network's."""

    validation: str
    """Folder (or `file.tar#prefix`) of validation pictures, one folder a class."""
    published: Optional[str] = limited(None)
    """The published file (published for ImageNet: torchvision's resnet18-f37072fd.pth)."""
    sha256: Optional[str] = limited(None)
    """Digest that the file must have; null: the first 8 hex digits that its name gives, if it does."""
    images: Optional[str] = limited(None)
    """Pictures to train on, as `validation`."""
    preset: str = limited("imagenet", choices=tuple(SQUEEZE))
    """Published training that `recipe` starts from."""
    recipe: dict = field(default_factory=dict)
    """Values of a ClassifierRecipe in place of the preset's; once read, the whole ClassifierRecipe. With a
    published file only those of the validation are used."""

    def __post_init__(self):
        object.__setattr__(self, "recipe", changed_recipe(SQUEEZE[self.preset], self.recipe))


def main():
    parser = stage_parser(__doc__)
    add_replay_step(parser)
    arguments = parser.parse_args()
    with stage_of_process("squeeze") as stage:
        parameters = stage.parameters(arguments.params, SqueezeParameters)
        shape = read_parameters(arguments.params, NETWORK, NetworkShape)
        stage.recorded["other_parameters"] = {"network": dataclasses.asdict(shape)}
        if (parameters.published is None) == (parameters.images is None):
            raise Refusal(
                "{}: fkd.squeeze: give exactly one of published and images".format(arguments.params)
            )
        validation = ClassFolders(parameters.validation)
        if parameters.published is not None:
            if is_first():  # it trains nothing that others could share
                use_published(stage, parameters, shape, validation)
        else:
            images = ClassFolders(parameters.images)
            train_and_publish(stage, ClassifierRun(parameters.recipe, shape, images, validation, TEACHER))


def use_published(stage, parameters, shape, validation):
    """Take the published file as it is, and validate it: metrics, and curves of a single row."""
    recipe, path = parameters.recipe, parameters.published
    digest = checked_digest(path, parameters.sha256)
    if parameters.sha256 is None:
        check_named_digest(path, digest)
    refuse_other_classes(shape, validation, "the teacher")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    teacher = load_weights(build(shape, 0, recipe.size), path).to(device)
    answers = Answers()
    found = validated(recipe, teacher, validation, device, answers)
    work = stage.work_folder(recipe_digest(parameters, digest))
    copy = os.path.join(work, "teacher.pth")
    shutil.copyfile(path, copy)
    stage.recorded["teacher_sha256"] = digest
    history = os.path.join(work, HISTORY)
    with replacing(history, "w") as file:
        row = {"val/" + name: value for name, value in found.items()}
        file.write(json.dumps(dict(row, epoch=0, step=0)) + "\n")
    write_curves(history, curves_path(stage))
    values = {"top1": found["top1"], "top5": found["top5"], "validation_loss": found["loss"]}
    known = published_teacher(path)
    if known is not None:
        values["published_top1"] = known.top1
    stage.metrics(dict(values, steps=0, validation_images=len(validation)))
    stage.evidence(answers.evidence())
    stage.publish(copy, TEACHER)


if __name__ == "__main__":
    run_stage(main)
