"""Provide the start weights of the backbone: the published file, or a short Barlow Twins pre-training."""

from __future__ import annotations

import dataclasses
import os
import shutil
from typing import Optional

from encore.data.image_source import open_source
from encore.runtime.parameters import limited, read_parameters, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, run_stage, stage_parser
from encore.systems.barlow_twins import PretrainingRecipe, pretrain
from encore.systems.isc.parameters import network_shape
from encore.training.loop import FROM_THE_START
from encore.training.published_weights import checked_digest
from encore.training.replay_step import add_replay_step, is_first, wanted

OUTPUT = "models/isc_track2/start.pth"


@dataclasses.dataclass(frozen=True)
class PretrainParameters:
    """Parameters of the stage `pretrain`: exactly one of `published` and `barlow_twins` is given."""

    published: Optional[str] = limited(None)
    """The published file (resnet50_bar.pth)."""
    sha256: Optional[str] = limited(None)
    """Digest that the file must have; null until one is recorded (its publisher states none)."""
    images: Optional[str] = limited(None)
    """Pictures to pre-train on; class folders, as ImageNet's `train` has them, will do."""
    barlow_twins: Optional[PretrainingRecipe] = limited(None)


def main():
    parser = stage_parser(__doc__)
    add_replay_step(parser)
    arguments = parser.parse_args()
    shape = network_shape(arguments.params, "isc_track2")
    if not is_first():  # a further process of a training: the first one keeps the records
        take_part(read_parameters(arguments.params, "isc_track2.pretrain", PretrainParameters), shape)
        return
    with Stage("isc_track2", "pretrain") as stage:
        parameters = stage.parameters(arguments.params, PretrainParameters)
        if (parameters.published is None) == (parameters.barlow_twins is None):
            raise Refusal(
                "{}: isc_track2.pretrain: give exactly one of published and barlow_twins".format(
                    arguments.params
                )
            )
        if parameters.published is not None:
            use_published(stage, parameters)
        else:
            pretrain_now(stage, parameters, shape)


def take_part(parameters, shape):
    """Carry a share of the training that the first process records."""
    if parameters.barlow_twins is not None:
        pretrain(recipe_of(parameters, shape), _images(parameters), None, None)


def recipe_of(parameters, shape):
    return dataclasses.replace(parameters.barlow_twins, layers=shape.layers, width=shape.width)


def _images(parameters):
    return open_source(parameters.images, class_folders=True)


def use_published(stage, parameters):
    if wanted(FROM_THE_START) is not None:
        raise Refusal("--replay-step: nothing is trained, the published weights are given")
    digest = checked_digest(parameters.published, parameters.sha256)
    work = stage.work_folder(recipe_digest(parameters, digest))
    copy = os.path.join(work, "start.pth")
    shutil.copyfile(parameters.published, copy)
    stage.recorded["start_weights_sha256"] = digest
    stage.publish(copy, OUTPUT)
    stage.metrics({"steps": 0})


def pretrain_now(stage, parameters, shape):
    recipe = recipe_of(parameters, shape)
    stage.seed = recipe.seed
    stage.need_shared_memory(recipe.shared_memory(), "batches of pictures")
    work = stage.work_folder(recipe_digest(parameters, shape, stage.inputs("training_images")))
    made = os.path.join(work, "start.pth")
    result = pretrain(recipe, _images(parameters), work, made)
    stage.publish(made, OUTPUT)
    stage.metrics({"steps": result.steps, "first_loss": result.losses[0], "last_loss": result.losses[-1]})


if __name__ == "__main__":
    run_stage(main)
