"""Provide the start weights of the backbone: the published file, or a short Barlow Twins pre-training."""

from __future__ import annotations

import dataclasses
import os
import shutil
from typing import Optional

from encore.data.image_source import open_source
from encore.runtime.parameters import limited, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, run_stage, stage_parser
from encore.systems.barlow_twins import PretrainingRecipe, pretrain
from encore.systems.isc.parameters import network_shape
from encore.training.published_weights import checked_digest

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
    arguments = stage_parser(__doc__).parse_args()
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
            pretrain_now(stage, parameters, network_shape(arguments.params, "isc_track2"))


def use_published(stage, parameters):
    digest = checked_digest(parameters.published, parameters.sha256)
    work = stage.work_folder(recipe_digest(parameters, digest))
    copy = os.path.join(work, "start.pth")
    shutil.copyfile(parameters.published, copy)
    stage.recorded["start_weights_sha256"] = digest
    stage.publish(copy, OUTPUT)
    stage.metrics({"steps": 0})


def pretrain_now(stage, parameters, shape):
    recipe = dataclasses.replace(parameters.barlow_twins, layers=shape.layers, width=shape.width)
    stage.seed = recipe.seed
    stage.need_shared_memory(recipe.shared_memory(), "batches of pictures")
    work = stage.work_folder(recipe_digest(parameters, shape, stage.inputs("training_images")))
    made = os.path.join(work, "start.pth")
    result = pretrain(recipe, open_source(parameters.images, class_folders=True), made)
    stage.publish(made, OUTPUT)
    stage.metrics({"steps": result.steps, "first_loss": result.losses[0], "last_loss": result.losses[-1]})


if __name__ == "__main__":
    run_stage(main)
