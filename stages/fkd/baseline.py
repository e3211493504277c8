"""Train a student on real pictures, for comparison: `baseline WHICH`, e.g. `baseline random`: on random ones
of each class, or on all; by their labels, or by a teacher that answers online."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Optional

from encore.data.class_folders import ClassFolders
from encore.runtime.parameters import limited, read_parameters
from encore.runtime.stage import run_stage, stage_parser
from encore.systems.fkd.classifier_batches import random_per_class
from encore.systems.fkd.classifier_recipe import SQUEEZE, changed_recipe
from encore.systems.fkd.classifier_stage import (
    ClassifierRun,
    train_and_publish,
)
from encore.systems.fkd.first_process import stage_of_process
from encore.systems.fkd.networks import NetworkShape
from encore.systems.fkd.sections import NETWORK, STUDENTS, TEACHER
from encore.training.replay_step import add_replay_step


@dataclass(frozen=True)
class BaselineParameters:
    """The section fkd.baselines.WHICH."""

    student: str
    """A name in the section fkd.students."""
    images: str
    """Folder (or `file.tar#prefix`) of real pictures, one folder a class."""
    validation: str
    images_per_class: Optional[int] = limited(None, low=1)
    """Random pictures of each class; null: all."""
    subset_seed: int = limited(0, low=0)
    """Of their choice."""
    teacher: str = TEACHER
    """Used where the recipe has a distillation."""
    preset: str = limited("imagenet", choices=tuple(SQUEEZE))
    """Published training of a teacher, by labels, that `recipe` starts from."""
    recipe: dict = field(default_factory=dict)
    """Values of a ClassifierRecipe in place of the preset's; once read, the whole ClassifierRecipe."""

    def __post_init__(self):
        object.__setattr__(self, "recipe", changed_recipe(SQUEEZE[self.preset], self.recipe))


def main():
    parser = stage_parser(__doc__)
    parser.add_argument("which", metavar="WHICH", help="a name in the section fkd.baselines")
    add_replay_step(parser)
    arguments = parser.parse_args()
    with stage_of_process("baseline", arguments.which) as stage:
        section = "fkd.baselines.%s" % arguments.which
        parameters = read_parameters(arguments.params, section, BaselineParameters)
        shape = read_parameters(arguments.params, "%s.%s" % (STUDENTS, parameters.student), NetworkShape)
        stage.recorded["parameters"] = dataclasses.asdict(parameters)
        others = {
            "baselines.%s" % arguments.which: dataclasses.asdict(parameters),
            "students.%s" % parameters.student: dataclasses.asdict(shape),
        }
        teacher_shape = None
        if parameters.recipe.distillation is not None:
            teacher_shape = read_parameters(arguments.params, NETWORK, NetworkShape)
            others["network"] = dataclasses.asdict(teacher_shape)
        stage.recorded["other_parameters"] = others
        images = ClassFolders(parameters.images)
        if parameters.images_per_class is not None:
            images = random_per_class(images, parameters.images_per_class, parameters.subset_seed)
        run = ClassifierRun(
            parameters.recipe,
            shape,
            images,
            ClassFolders(parameters.validation),
            "models/fkd/baseline/%s.pth" % arguments.which,
            parameters.teacher,
            teacher_shape,
        )
        train_and_publish(stage, run)


if __name__ == "__main__":
    run_stage(main)
