"""The published networks: a residual backbone with a plain embedding or with horizontal parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Tuple

import torch
import torch.nn as nn

from encore.models import resnet
from encore.runtime.refusal import Refusal
from encore.systems.reid.heads import (
    Parts,
    average,
    classifier,
    default_embedding,
    embedding_mask,
    largest,
    logits_of,
    normed_embedding,
    pieces_of,
    plain_embedding,
    refuse_few_rows,
)
from encore.systems.reid.spectral_transform import SpectralTransform

BACKBONES = {
    "resnet_18": (resnet.BasicBlock, resnet.RESNET18_LAYERS),
    "resnet_34": (resnet.BasicBlock, resnet.RESNET34_LAYERS),
    "resnet_50": (resnet.Bottleneck, resnet.RESNET50_LAYERS),
    "resnet_101": (resnet.Bottleneck, resnet.RESNET101_LAYERS),
    "resnet_152": (resnet.Bottleneck, resnet.RESNET152_LAYERS),
}
"""Name -> block and blocks of the four stages."""


@dataclass(frozen=True)
class NetworkShape:
    """What the network is made of; published names, defaults of state S."""

    state: str = "S"
    model: str = "resnet_50"
    feature_dim: int = 1536
    """Numbers of the embedding, or of all parts together."""
    pcb_n_parts: int = 6
    """Horizontal parts; 0: the plain embedding."""
    last_conv_stride: int = 2
    """Stride of the backbone's last stage."""
    spectral_trans: float = 0.0
    """H, plain: temperature of the spectral transform in training; 0: none."""
    feature_mask: bool = False
    """H: whether factors from a mask branch multiply the embedding."""
    feature_gobal_dim: int = 0
    """H, parts: numbers of the global branch; 0: none (published: a crash)."""
    width: int = 64
    """Channels after the first convolution; 64 as published."""
    layers: Optional[Tuple[int, ...]] = None
    """Blocks of the four stages; None: those of `model`."""
    uniform_gamma: bool = True
    """H: whether BatchNorm scales of the parts, the global branch and the masks start from U(0, 1), as with
    torch before 1.2, else from 1."""

    def __post_init__(self):
        if self.state not in ("S", "H") or self.model not in BACKBONES:
            raise Refusal(
                "model_params: expected the state S or H and a model of %s, found %s and %s"
                % (", ".join(BACKBONES), self.state, self.model)
            )
        if self.pcb_n_parts and self.feature_dim % self.pcb_n_parts:
            raise Refusal(
                "feature_dim: expected a multiple of pcb_n_parts, %d, found %d: change one of both"
                % (self.pcb_n_parts, self.feature_dim)
            )
        if self.state == "S" and (self.spectral_trans or self.feature_mask or self.feature_gobal_dim):
            raise Refusal(
                "state S: spectral_trans, feature_mask and feature_gobal_dim belong to H: leave them out or "
                "set the state to H"
            )

    @classmethod
    def of(cls, params):
        """The shape that a ReidParams asks for."""
        model, own = params.model_params, params.encore
        return cls(
            state=params.state,
            model=model.model,
            feature_dim=model.feature_dim,
            pcb_n_parts=model.pcb_n_parts,
            last_conv_stride=model.last_conv_stride,
            spectral_trans=model.spectral_trans,
            feature_mask=model.feature_mask,
            feature_gobal_dim=model.feature_gobal_dim,
            width=own.width,
            layers=own.layers,
        )

    @property
    def features(self):
        """Numbers of a feature in evaluation."""
        return self.feature_dim + (self.feature_gobal_dim if self.pcb_n_parts else 0)

    def map_rows(self, height):
        """Rows of the feature map of pictures `height` pixels high."""
        for _ in range(5 if self.last_conv_stride == 2 else 4):
            height = (height + 1) // 2
        return height

    def check_height(self, height):
        """Refuse a picture height whose feature map cannot be cut into pcb_n_parts parts."""
        rows = self.map_rows(height)
        if self.pcb_n_parts and pieces_of(rows, self.pcb_n_parts) < self.pcb_n_parts:
            refuse_few_rows(rows, self.pcb_n_parts)


class Outputs(NamedTuple):
    """What the losses see of a batch of n pictures."""

    logits: List[torch.Tensor]
    """float (n, classes) each: one; a second one of the transformed features (spectral); one a part, then
    the global one. None without a classifier."""
    features: List[torch.Tensor]
    """What the triplet loss sees: the embedding, or the parts side by side and the global feature."""
    st_mean: Optional[float]
    """Mean weight of a feature in its own spectral transform; 0 while that is the identity, None without."""


class ReidNetwork(nn.Module):
    """Images float (n, 3, h, w), normalised -> in evaluation mode features float (n, D), not normalised; in
    training mode Outputs.

    shape: a NetworkShape. classes: identities. classification: whether there are classifiers at all (an
    evaluation, or triplets alone, need none). margins: an AngularSoftmax; where it has margins, the plain
    classifier and those of the parts are AmSoftmax. Keys are the published ones: model.<torchvision's>, fc,
    mask, classifier; fc_g, classifier_g; Pcb.<part's>. Initial values are drawn in this order: backbone,
    global branch, parts or embedding.
    """

    def __init__(self, shape, classes, classification=True, margins=None):
        super().__init__()
        if classification and classes < 1:
            raise Refusal("classes: expected 1 identity at least, found %s: check batches_dir" % classes)
        self.shape = shape
        self.classes = classes if classification else None
        self.model = _backbone(shape)
        channels = self.model.features
        self.fc_g = self.classifier_g = self.Pcb = self.fc = self.mask = self.classifier = None
        if shape.feature_gobal_dim and shape.pcb_n_parts:
            self.fc_g = default_embedding(channels, shape.feature_gobal_dim, shape.uniform_gamma)
            if classification:
                self.classifier_g = classifier(shape.feature_gobal_dim, classes)
        if shape.pcb_n_parts:
            self.Pcb = Parts(channels, shape, self.classes, margins)
        else:
            self._add_plain(channels, margins)
        self.spectral = SpectralTransform(shape.spectral_trans) if shape.spectral_trans else None

    def _add_plain(self, channels, margins):
        shape = self.shape
        if shape.state == "S":
            self.fc = plain_embedding(channels, shape.feature_dim)
        else:
            self.fc = normed_embedding(channels, shape.feature_dim, shape.uniform_gamma)
        if shape.feature_mask:
            self.mask = embedding_mask(channels, shape.feature_dim, shape.uniform_gamma)
        if self.classes is not None:
            self.classifier = classifier(shape.feature_dim, self.classes, margins)

    def forward(self, images, labels=None, accuracy=0.0, global_step=0):
        """labels: int64 (n,), for margins. accuracy: of the batch logged last, in [0, 1]; the spectral
        transform works from 0.9 on. global_step: 0-based, for the margins' schedule."""
        if self.training:
            return self.outputs(images, labels, accuracy, global_step)
        return self.features(images)

    def features(self, images):
        """Features float (n, D), whatever the mode: the embedding; or the parts, then the global feature."""
        maps = feature_map(self.model, images)
        if self.Pcb is None:
            return self._embedding(maps)
        parts = self.Pcb(maps)
        return torch.cat(parts if self.fc_g is None else parts + [self._global(maps)], 1)

    def outputs(self, images, labels=None, accuracy=0.0, global_step=0):
        """Outputs, whatever the mode; a teacher gives them in evaluation mode."""
        maps = feature_map(self.model, images)
        if self.Pcb is None:
            return self._plain_outputs(self._embedding(maps), labels, accuracy, global_step)
        parts = self.Pcb(maps)
        logits, features = self.Pcb.logits(parts, labels, global_step), self.Pcb.triplet_features(parts, maps)
        if self.fc_g is None:
            return Outputs(logits, [features], None)
        global_feature = self._global(maps)
        if self.classifier_g is not None:
            logits.append(self.classifier_g(global_feature))
        return Outputs(logits, [features, global_feature], None)

    def _plain_outputs(self, embedding, labels, accuracy, global_step):
        seen, st_mean = [embedding], None
        if self.spectral is not None:
            transformed, st_mean = self.spectral(embedding, accuracy)
            seen.append(transformed)
        if self.classifier is None:
            return Outputs([], [embedding], st_mean)
        logits = [logits_of(self.classifier, features, labels, global_step) for features in seen]
        return Outputs(logits, [embedding], st_mean)

    def _embedding(self, maps):
        pooled = average(maps).flatten(1)
        embedding = self.fc(pooled)
        return embedding if self.mask is None else embedding * self.mask(pooled)

    def _global(self, maps):
        return self.fc_g(largest(maps).flatten(1))

    def parameter_groups(self, params):
        """The published groups for an optimizer: everything but the backbone at fc_lr, then the backbone at
        base_lr. fine_tune: the backbone is frozen and only the first group is left; its BatchNorm statistics
        still move in training mode (published)."""
        backbone = {id(parameter) for parameter in self.model.parameters()}
        heads = [parameter for parameter in self.parameters() if id(parameter) not in backbone]
        groups = [{"params": heads, "lr": params.lr.fc_lr}]
        if params.fine_tune:
            self.model.requires_grad_(False)
            return groups
        return groups + [{"params": list(self.model.parameters()), "lr": params.lr.base_lr}]


def feature_map(backbone, images):
    """Images (n, 3, h, w) -> the last feature map of a ResNet, float (n, channels, rows, columns)."""
    x = backbone.maxpool(backbone.relu(backbone.bn1(backbone.conv1(images))))
    return backbone.layer4(backbone.layer3(backbone.layer2(backbone.layer1(x))))


def _backbone(shape):
    block, layers = BACKBONES[shape.model]
    return resnet.ResNet(
        shape.layers or layers, shape.width, shape.last_conv_stride, classes=None, block=block
    )
