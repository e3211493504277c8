"""The backbone before the first stage: timm's published weights, or values by seed."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from typing import Optional

import torch

from encore.data.safetensors_file import TensorFile
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.systems.drip.network import backbone_state, build, load_backbone
from encore.training import checkpoint_files
from encore.training.published_weights import check_named_digest, checked_digest

FILE = "models/drip/start/backbone.pth"
"""A state dict under timm's keys, read by `network.load_backbone`."""


@dataclass(frozen=True)
class StartParameters:
    """Parameters of the stage `start`."""

    published: Optional[str] = limited(None)
    """timm's weights of the backbone, trained on ImageNet (.pth or .safetensors); null: values by seed."""
    sha256: Optional[str] = limited(None)
    """Digest that the file must have; null: only the digits that a published name carries."""
    seed: int = limited(0, low=0)

    def __post_init__(self):
        if self.published is None and self.sha256 is not None:
            raise Refusal("sha256 is of a published file: name it under published, or leave both out")


def write_start(path, shape, parameters):
    """Write the backbone's start weights to `path` as the state dict of its tensors; returns (SHA-256 of the
    published file or None, tensors, numbers in them).

    The exponent of the pooling is none of them: it starts at NetworkShape.gem_p. Refusal for a published file
    that is missing, has another digest (without one: than its name says), or is not of this backbone, tensor
    by tensor.
    """
    digest, published = None, parameters.published
    if published is not None:
        digest = checked_digest(published, parameters.sha256)
        if parameters.sha256 is None:
            check_named_digest(published, digest)
    network = build(shape, parameters.seed)
    if published is not None:
        network = load_backbone(network, _torch_file(published, path))
    state = OrderedDict((key, value.detach().clone()) for key, value in backbone_state(network).items())
    checkpoint_files.save(path, state)
    return digest, len(state), sum(value.numel() for value in state.values())


def _torch_file(published, path):
    """`published` as a torch file: itself, or its tensors from the safetensors format, beside `path`."""
    if os.path.splitext(published)[1] != ".safetensors":
        return published
    tensors = TensorFile(published)
    state = OrderedDict(
        (name, torch.from_numpy(tensors.rows(name, 0, shape[0] if shape else 1)).reshape(shape))
        for name, (_, shape) in tensors.arrays.items()
    )
    checkpoint_files.save(path, state)
    return path
