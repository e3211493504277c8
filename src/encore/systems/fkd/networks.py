"""Teachers, students and verifiers: networks by name, their initial weights and the files that hold them."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import NamedTuple, Optional, Tuple

import torch
import torch.nn as nn

from encore.detection.torchvision_nms import load_torchvision
from encore.models.resnet import (
    RESNET18_LAYERS,
    RESNET34_LAYERS,
    RESNET50_LAYERS,
    RESNET101_LAYERS,
    RESNET152_LAYERS,
    BasicBlock,
    Bottleneck,
    ResNet,
)
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load
from encore.runtime.seeds import derive_seed
from encore.systems.fkd.sections import SYSTEM

RESNETS = {
    "resnet18": (BasicBlock, RESNET18_LAYERS),
    "resnet34": (BasicBlock, RESNET34_LAYERS),
    "resnet50": (Bottleneck, RESNET50_LAYERS),
    "resnet101": (Bottleneck, RESNET101_LAYERS),
    "resnet152": (Bottleneck, RESNET152_LAYERS),
}
TRANSFORMERS = ("vit_tiny", "vit")
VIT_TINY = {"width": 192, "patch": 16, "depth": 12, "heads": 3}
"""DeiT-Tiny (Touvron et al. 2021); its perceptrons are 768 wide, HIDDEN_RATIO times its tokens."""
HIDDEN_RATIO = 4
RESNET_WIDTH = 64
RESNET_VALUES = ("small_stem", "width", "layers", "groups")
HOLDERS = ("state_dict", "model")
"""Keys under which published files hold the weights: the students' and CIFAR-100's, and Tiny-ImageNet's."""
PREFIX = "module."
"""What DataParallel puts before each name."""
COUNTER = "num_batches_tracked"
"""Of BatchNorm; files from before torch 0.4.1 lack it, and torch then takes 0."""


class PublishedTeacher(NamedTuple):
    """Weights of torchvision: name of the network, name of the file (its 8 hex digits are the first ones of
    its SHA-256) and top-1 accuracy on ImageNet's validation set, in percent."""

    network: str
    file: str
    top1: float


PUBLISHED_TEACHERS = (
    PublishedTeacher("resnet18", "resnet18-f37072fd.pth", 69.758),
    PublishedTeacher("resnet50", "resnet50-0676ba61.pth", 76.130),
    PublishedTeacher("resnet101", "resnet101-63fe2227.pth", 77.374),
)
"""IMAGENET1K_V1, which the published scripts take; torchvision's V2 are other networks' weights."""


@dataclass(frozen=True)
class NetworkShape:
    """A network by its name, and what of it is a value; the defaults are the published ResNet-18."""

    name: str = "resnet18"
    """resnet18, 34, 50, 101, 152; vit_tiny, or vit with all its values; else a classifier of torchvision."""
    classes: int = limited(1000, low=1)
    small_stem: bool = False
    """ResNet only: 3x3 first convolution with stride 1, no max-pool (published for 64 and 32 pixels)."""
    width: Optional[int] = limited(None, low=1)
    """ResNet: channels after the first convolution, 64 as published. Vision Transformer: of a token."""
    layers: Optional[Tuple[int, ...]] = limited(None, low=1)
    """ResNet only: blocks of the four stages; None: those of the name."""
    groups: Optional[int] = limited(None, low=1)
    """ResNet only: GroupNorm of so many groups (Wu and He 2018; theirs 32); None: BatchNorm."""
    patch: Optional[int] = limited(None, low=1)
    """Vision Transformer only, as depth and heads: side of a patch in pixels."""
    depth: Optional[int] = limited(None, low=1)
    heads: Optional[int] = limited(None, low=1)

    def __post_init__(self):
        if not self.name:
            raise Refusal("a network needs a name such as resnet18, found none")
        if self.classes < 1:
            raise Refusal("network %s: classes must be 1 at least, found %d" % (self.name, self.classes))
        self._refuse_foreign_values()
        if self.layers is not None and (len(self.layers) != 4 or min(self.layers) < 1):
            raise Refusal(
                "network %s: layers must be four counts of blocks, 1 at least, found %s"
                % (self.name, tuple(self.layers))
            )
        if self.name in TRANSFORMERS:
            self.transformer_values()
        elif self.width is not None and self.width < 1:
            raise Refusal("network %s: width must be 1 at least, found %d" % (self.name, self.width))
        if self.groups is not None and (self.groups < 1 or (self.width or RESNET_WIDTH) % self.groups):
            raise Refusal(
                "network %s: width (%d) must be a multiple of groups (%d)"
                % (self.name, self.width or RESNET_WIDTH, self.groups)
            )

    def _refuse_foreign_values(self):
        known = ()
        if self.name in RESNETS:
            known = RESNET_VALUES
        elif self.name in TRANSFORMERS:
            known = tuple(VIT_TINY)
        for value in RESNET_VALUES + ("patch", "depth", "heads"):
            if value not in known and getattr(self, value) not in (None, False):
                raise Refusal(
                    "network %s has no value %s: leave it out, or choose another network" % (self.name, value)
                )

    def transformer_values(self):
        """Width, patch, depth and heads of a Vision Transformer by name, those of DeiT-Tiny where vit_tiny
        gives none; Refusal where one is missing or they do not fit."""
        values = dict(VIT_TINY) if self.name == "vit_tiny" else {}
        for value in VIT_TINY:
            given = getattr(self, value)
            if given is not None:
                values[value] = given
            if values.get(value, 0) < 1:
                raise Refusal("network %s: give %s, 1 at least, found %s" % (self.name, value, given))
        if values["width"] % values["heads"]:
            raise Refusal(
                "network %s: width (%d) must be a multiple of heads (%d)"
                % (self.name, values["width"], values["heads"])
            )
        return values


def build(shape, seed, size=224):
    """The network of a NetworkShape, images float (n, 3, size, size) -> logits (n, shape.classes), in
    training mode on the CPU.

    Its initial weights depend on `seed` (and the shape) only; published: not seeded. Refusal for a name that
    torchvision does not know or a size that the patches of a Vision Transformer do not divide.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, SYSTEM, "initial weights"))
        if shape.name in RESNETS:
            return _resnet(shape)
        if shape.name in TRANSFORMERS:
            return _transformer(shape, size)
        return _torchvision_network(shape)


def load_weights(network, path):
    """Load the weights in the file at `path` into `network`, all of them, and return it.

    The file is a bare state dict (torchvision's), or holds one under `model` (the published Tiny-ImageNet
    teachers) or `state_dict` (CIFAR-100's, and students'), each with or without "module." before the names.
    Refusal, naming the file and the first such key, for one that is missing, unknown, of another shape or not
    finite.
    """
    state = _weights_in(safe_load(path), path)
    own = network.state_dict()
    for key, value in own.items():
        if key not in state and key.endswith("." + COUNTER):
            state[key] = torch.zeros_like(value)
    for key in own:
        if key not in state:
            raise _unfit(path, "lacks %s" % key)
    for key, value in state.items():
        if key not in own:
            raise _unfit(path, "holds %s, which this network has not" % key)
        if value.shape != own[key].shape:
            raise _unfit(
                path, "holds %s of shape %s, expected %s" % (key, tuple(value.shape), tuple(own[key].shape))
            )
        if not torch.isfinite(value.float()).all():
            raise Refusal(
                "%s holds NaN or infinity in %s: take the file again, or train the network again"
                % (path, key)
            )
    network.load_state_dict(state)
    return network


def published_teacher(path):
    """The PublishedTeacher that the name of the file at `path` says it is, or None."""
    named = [teacher for teacher in PUBLISHED_TEACHERS if teacher.file == os.path.basename(path)]
    return named[0] if named else None


def frozen(network):
    """`network` in evaluation mode (BatchNorm by its running statistics), no parameter of which asks for a
    gradient; changed in place and returned."""
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network.eval()


def _resnet(shape):
    block, layers = RESNETS[shape.name]
    return ResNet(
        shape.layers or layers,
        shape.width or RESNET_WIDTH,
        classes=shape.classes,
        norm=nn.BatchNorm2d if shape.groups is None else functools.partial(nn.GroupNorm, shape.groups),
        block=block,
        small_stem=shape.small_stem,
    )


def _transformer(shape, size):
    values = shape.transformer_values()
    if size < 1 or size % values["patch"]:
        raise Refusal(
            "network %s: patches of %d pixels do not divide pictures of %d: change patch or size"
            % (shape.name, values["patch"], size)
        )
    width = values["width"]
    return _torchvision_models().VisionTransformer(
        image_size=size,
        patch_size=values["patch"],
        num_layers=values["depth"],
        num_heads=values["heads"],
        hidden_dim=width,
        mlp_dim=HIDDEN_RATIO * width,
        num_classes=shape.classes,
    )


def _torchvision_network(shape):
    models = _torchvision_models()
    if shape.name not in models.list_models(module=models):
        raise Refusal(
            "network %s: torchvision has no such classifier: choose one of %s, or one of torchvision.models"
            % (shape.name, ", ".join(tuple(RESNETS) + TRANSFORMERS))
        )
    return models.get_model(shape.name, weights=None, num_classes=shape.classes)


def _torchvision_models():
    models = load_torchvision().models
    if not hasattr(models, "list_models"):
        raise Refusal(
            "networks other than %s come from torchvision 0.14 or later: install the lock's"
            % ", ".join(RESNETS)
        )
    return models


def _weights_in(content, path):
    for holder in HOLDERS:
        if isinstance(content, dict) and isinstance(content.get(holder), dict):
            content = content[holder]
            break
    if not isinstance(content, dict) or not content:
        raise _unfit(path, "holds no weights")
    for key, value in content.items():
        if not isinstance(key, str) or not torch.is_tensor(value):
            raise _unfit(path, "holds %s, which is no tensor" % key)
    if all(key.startswith(PREFIX) for key in content):
        return {key[len(PREFIX) :]: value for key, value in content.items()}
    return dict(content)


def _unfit(path, found):
    return Refusal(
        "%s %s: give weights of this network, as a state dict or under model or state_dict" % (path, found)
    )
