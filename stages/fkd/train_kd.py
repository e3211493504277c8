"""Train a student by a teacher that answers online: `train_kd RUN`, e.g. `train_kd resnet18`.

Published: the alternative to stored labels on ImageNet, and all there is for Tiny-ImageNet and CIFAR-100.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Optional

from encore.data.class_folders import ClassFolders
from encore.runtime.parameters import limited, read_parameters
from encore.runtime.refusal import Refusal
from encore.runtime.stage import needed, run_stage, stage_parser
from encore.systems.fkd.classifier_recipe import ONLINE, changed_recipe
from encore.systems.fkd.classifier_stage import (
    ClassifierRun,
    train_and_publish,
)
from encore.systems.fkd.first_process import stage_of_process
from encore.systems.fkd.networks import NetworkShape
from encore.systems.fkd.sections import NETWORK, STUDENTS, TEACHER
from encore.training.replay_step import add_replay_step


@dataclass(frozen=True)
class TrainKdParameters:
    """The section fkd.train_kd.RUN."""

    student: str
    """A name in the section fkd.students."""
    validation: str
    """Folder (or `file.tar#prefix`) of validation pictures, one folder a class."""
    images: str = "data/fkd/synthetic"
    images_per_class: Optional[int] = limited(50, low=1)
    """The first files of each class folder, sorted by name; null: all. The published default."""
    teacher: str = TEACHER
    preset: str = limited("imagenet", choices=tuple(ONLINE))
    """Published training that `recipe` starts from."""
    recipe: dict = field(default_factory=dict)
    """Values of a ClassifierRecipe in place of the preset's; once read, the whole ClassifierRecipe."""

    def __post_init__(self):
        object.__setattr__(self, "recipe", changed_recipe(ONLINE[self.preset], self.recipe))


def main():
    parser = stage_parser(__doc__)
    parser.add_argument("run", metavar="RUN", help="a name in the section fkd.train_kd")
    add_replay_step(parser)
    arguments = parser.parse_args()
    with stage_of_process("train_kd", arguments.run) as stage:
        section = "fkd.train_kd.%s" % arguments.run
        parameters = read_parameters(arguments.params, section, TrainKdParameters)
        if parameters.recipe.distillation is None:
            raise Refusal(
                "{}: {}.recipe.distillation: missing: labels are for fkd.baselines".format(
                    arguments.params, section
                )
            )
        shape = read_parameters(arguments.params, "%s.%s" % (STUDENTS, parameters.student), NetworkShape)
        teacher_shape = read_parameters(arguments.params, NETWORK, NetworkShape)
        stage.recorded["parameters"] = dataclasses.asdict(parameters)
        stage.recorded["other_parameters"] = {
            "students.%s" % parameters.student: dataclasses.asdict(shape),
            "network": dataclasses.asdict(teacher_shape),
        }
        images = ClassFolders(needed(parameters.images))
        if parameters.images_per_class is not None:
            images = images.first_per_class(parameters.images_per_class)
        run = ClassifierRun(
            parameters.recipe,
            shape,
            images,
            ClassFolders(parameters.validation),
            "models/fkd/train_kd/%s.pth" % arguments.run,
            parameters.teacher,
            teacher_shape,
        )
        train_and_publish(stage, run)


if __name__ == "__main__":
    run_stage(main)
