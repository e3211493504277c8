"""Provide the start weights of a backbone: the published file, or a pre-training.

Published: Barlow Twins for ResNet-50, Momentum²-Teacher for ResNet-152 and ResNet-50-IBN-a.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from typing import Optional

from encore.data.image_source import open_source
from encore.runtime.atomic import file_digest
from encore.runtime.parameters import limited, read_parameters, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, run_stage, stage_parser
from encore.systems import barlow_twins
from encore.systems.barlow_twins import PretrainingRecipe
from encore.systems.isc_track1.backbones import BY_NAME, backbone_of, network_shape, start_weights_path
from encore.systems.momentum2_teacher import pretraining as momentum2_teacher
from encore.systems.momentum2_teacher.published_files import check_backbone
from encore.systems.momentum2_teacher.recipe import Momentum2Recipe
from encore.training.loop import FROM_THE_START
from encore.training.published_weights import checked_digest
from encore.training.replay_step import add_replay_step, is_first, wanted


@dataclasses.dataclass(frozen=True)
class BackboneParameters:
    """Where one backbone's start weights come from: exactly one of `published` and the two methods."""

    published: Optional[str] = limited(None)
    """The published file: resnet50_bar.pth, unsupervised_pretrained_byol_152.pkl or …_m2t_ibn.pkl."""
    sha256: Optional[str] = limited(None)
    """Digest that the file must have; null until one is recorded (its publisher states none)."""
    images: Optional[str] = limited(None)
    """Pictures to pre-train on; class folders, as ImageNet's `train` has them, will do."""
    barlow_twins: Optional[PretrainingRecipe] = limited(None)
    momentum2_teacher: Optional[Momentum2Recipe] = limited(None)
    resume: Optional[str] = limited(None)
    """A last_epoch_ckpt.pth.tar to go on from; a published one needs momentum2_teacher.lossy_resume."""

    def __post_init__(self):
        given = [self.published, self.barlow_twins, self.momentum2_teacher]
        if sum(value is not None for value in given) != 1:
            raise Refusal("give exactly one of published, barlow_twins and momentum2_teacher")
        if self.published is None and self.images is None:
            raise Refusal("a pre-training needs images")
        if self.momentum2_teacher is not None and self.momentum2_teacher.shape != Momentum2Recipe().shape:
            raise Refusal("momentum2_teacher.shape: the network's shape belongs in isc_track1.networks")


@dataclasses.dataclass(frozen=True)
class PretrainParameters:
    """Parameters of the stage `pretrain`, by backbone."""

    resnet50: BackboneParameters
    resnet152: BackboneParameters
    resnet_ibn50a: BackboneParameters


def main():
    parser = stage_parser(__doc__)
    parser.add_argument(
        "backbone", choices=sorted(BY_NAME), help="name of the backbone in the published test"
    )
    add_replay_step(parser)
    arguments = parser.parse_args()
    backbone = backbone_of(arguments.backbone)
    shape = network_shape(arguments.params, backbone.name)
    if not is_first():  # a further process of a training: the first one keeps the records
        every = read_parameters(arguments.params, "isc_track1.pretrain", PretrainParameters)
        take_part(getattr(every, backbone.arch), shape)
        return
    with Stage("isc_track1", "pretrain", backbone.name) as stage:
        parameters = getattr(stage.parameters(arguments.params, PretrainParameters), backbone.arch)
        if parameters.published is not None:
            use_published(stage, backbone, parameters, shape)
        else:
            pretrain_now(stage, backbone, parameters, shape, arguments.params)


def take_part(parameters, shape):
    """Carry a share of the training that the first process records."""
    if parameters.published is None:
        method = by_barlow_twins if parameters.barlow_twins is not None else by_momentum2_teacher
        method(None, parameters, shape, None, None)


def use_published(stage, backbone, parameters, shape):
    if wanted(FROM_THE_START) is not None:
        raise Refusal("--replay-step: nothing is trained, the published weights are given")
    digest = checked_digest(parameters.published, parameters.sha256)
    check_backbone(parameters.published, shape)
    work = stage.work_folder(recipe_digest(parameters, digest))
    copy = os.path.join(work, "start")
    shutil.copyfile(parameters.published, copy)
    stage.recorded["start_weights_sha256"] = digest
    stage.publish(copy, start_weights_path(backbone.name))
    stage.metrics({"steps": 0})


def pretrain_now(stage, backbone, parameters, shape, path):
    if parameters.barlow_twins is not None and shape.ibn:
        raise Refusal(
            "{}: isc_track1.pretrain.{}: barlow_twins has no IBN-a backbone".format(path, backbone.arch)
        )
    if parameters.resume is not None and not os.path.isfile(parameters.resume):
        raise Refusal("{}: missing: give the checkpoint to go on from".format(parameters.resume))
    resumed = None if parameters.resume is None else file_digest(parameters.resume)
    work = stage.work_folder(recipe_digest(parameters, shape, resumed, stage.inputs("training_images")))
    made = os.path.join(work, "start")
    method = by_barlow_twins if parameters.barlow_twins is not None else by_momentum2_teacher
    steps, losses = method(stage, parameters, shape, work, made)
    stage.publish(made, start_weights_path(backbone.name))
    stage.metrics(dict({name: loss for name, loss in losses.items() if loss is not None}, steps=steps))


def by_barlow_twins(stage, parameters, shape, work, made):
    """Make the file `made` -> (steps, {"first_loss", "last_loss"}); a further process has no stage, and
    neither of the paths."""
    recipe = dataclasses.replace(parameters.barlow_twins, layers=shape.layers, width=shape.width)
    _begin(stage, recipe)
    result = barlow_twins.pretrain(recipe, _images(parameters), work, made)
    return result.steps, {"first_loss": result.losses[0], "last_loss": result.losses[-1]}


def by_momentum2_teacher(stage, parameters, shape, work, made):
    """As `by_barlow_twins`; the losses are None where nothing was left to do."""
    recipe = dataclasses.replace(parameters.momentum2_teacher, shape=shape)
    _begin(stage, recipe)
    result = momentum2_teacher.pretrain(recipe, _images(parameters), work, made, resume=parameters.resume)
    return result.steps, {"first_loss": result.first_loss, "last_loss": result.last_loss}


def _begin(stage, recipe):
    if stage is not None:
        stage.seed = recipe.seed
        stage.need_shared_memory(recipe.shared_memory(), "batches of pictures")


def _images(parameters):
    return open_source(parameters.images, class_folders=True)


if __name__ == "__main__":
    run_stage(main)
