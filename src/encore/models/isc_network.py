"""The network of the ISC 2021 winning submissions: ResNet, WaveBlock, GeM, the wide head and the matrix
head."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Optional, Tuple

import torch
import torch.nn as nn

from encore.models.gem import GeM
from encore.models.resnet import RESNET50_LAYERS, ResNet
from encore.models.wave_block import WaveBlock
from encore.runtime.refusal import Refusal

CLASSIFIER_BLOCKS = 4
GEM_INDEX = 10

Outputs = namedtuple("Outputs", "features logits logits_matrix")


@dataclass(frozen=True)
class IscShape:
    """Sizes of the network; the defaults are those of Track 2 as published."""

    layers: Tuple[int, ...] = RESNET50_LAYERS
    """Bottleneck blocks of the four stages."""
    width: int = 64
    """Channels after the first convolution; the pooled feature has 32 times as many."""
    hidden: int = 4096
    """Width between the two linear layers of the wide head."""
    embedding: int = 8192
    """Output of the wide head."""
    matrix: Optional[int] = 256
    """Output of the matrix head, the Track 2 descriptor; None: no such head (Track 1)."""
    ibn: bool = False
    """Whether the backbone is IBN-a (ResNet-50-IBN-a of Track 1)."""

    @property
    def features(self):
        """Length of the pooled feature (2048 as published)."""
        return 32 * self.width

    @property
    def weights(self):
        """Numbers of the kernels and matrices, without classifiers (67,495,104 as published)."""
        count, into = 3 * 49 * self.width, self.width
        for stage, blocks in enumerate(self.layers):
            channels = self.width << stage
            count += 13 * channels**2 + 5 * channels * into + (blocks - 1) * 17 * channels**2
            into = 4 * channels
        count += self.hidden * (self.features + self.embedding)
        return count + self.embedding * (self.matrix or 0)


def classifier_name(block, matrix=False):
    """Published name of a classifier block: `classifier_<block>`, for the matrix head
    `classifier_<block>_1`."""
    return "classifier_%d%s" % (block, "_1" if matrix else "")


CLASSIFIER_KEYS = tuple(
    classifier_name(block, matrix) + ".weight"
    for matrix in (False, True)
    for block in range(CLASSIFIER_BLOCKS)
)


def block_size(classes):
    """Classes per classifier block; Refusal where `classes` does not divide by 4."""
    if classes % CLASSIFIER_BLOCKS or classes <= 0:
        raise Refusal(
            "the number of classes must be a positive multiple of %d (the classifier is split in "
            "%d blocks), "
            "found %d: add or leave out classes" % (CLASSIFIER_BLOCKS, CLASSIFIER_BLOCKS, classes)
        )
    return classes // CLASSIFIER_BLOCKS


def _frozen_bias(norm):
    norm.bias.requires_grad_(False)  # published: the last BatchNorm of a head keeps a bias of 0
    return norm


class IscNetwork(nn.Module):
    """Images float32 (n, 3, h, w) -> Outputs(features (n, 2048), logits (n, C), logits_matrix (n, C) or
    None).

    classes: C, a multiple of 4 (Refusal otherwise); None builds the network without classifiers (for
    descriptors). blocks: the classifier blocks that this process carries; `forward` needs all four.
    State-dict keys and parameter order are the published ones (specification of Track 2, section 2).
    """

    def __init__(self, shape=IscShape(), classes=None, blocks=range(CLASSIFIER_BLOCKS)):
        super().__init__()
        self.shape = shape
        self.classes = classes
        self.blocks = tuple(blocks) if classes is not None else ()
        backbone = ResNet(shape.layers, shape.width, last_stride=1, classes=None, ibn=shape.ibn)
        wave_block = WaveBlock()
        self.base = nn.Sequential(
            # published order: maxpool before relu
            backbone.conv1,
            backbone.bn1,
            backbone.maxpool,
            backbone.relu,
            backbone.layer1,
            backbone.layer2,
            wave_block,
            backbone.layer3,
            wave_block,
            backbone.layer4,
            GeM(),
        )
        if classes is not None:
            self._add_classifiers(block_size(classes))
        self.projector_feat_bn = nn.Sequential(
            nn.Sequential(
                nn.Linear(shape.features, shape.hidden),
                nn.BatchNorm1d(shape.hidden),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Linear(shape.hidden, shape.embedding),
            ),
            _frozen_bias(nn.BatchNorm1d(shape.embedding)),
        )
        self.matrix_feat_bn = None
        if shape.matrix is not None:
            self.matrix_feat_bn = nn.Sequential(
                nn.Sequential(
                    nn.BatchNorm1d(shape.embedding),
                    nn.LeakyReLU(0.2, inplace=True),
                    nn.Linear(shape.embedding, shape.matrix),
                ),
                _frozen_bias(nn.BatchNorm1d(shape.matrix)),
            )

    def _add_classifiers(self, size):
        heads = [(False, self.shape.embedding)] + ([(True, self.shape.matrix)] if self.shape.matrix else [])
        for matrix, inputs in heads:
            for block in self.blocks:
                classifier = nn.Linear(inputs, size, bias=False)
                nn.init.normal_(classifier.weight, std=0.001)
                setattr(self, classifier_name(block, matrix), classifier)

    @property
    def wave_block(self):
        """The one WaveBlock, used after layer2 and after layer3."""
        return self.base[6]

    def classifier(self, block, matrix=False):
        """The linear layer of one classifier block."""
        return getattr(self, classifier_name(block, matrix))

    def pooled(self, images):
        """Images (n, 3, h, w) -> pooled features (n, 2048)."""
        return self.base(images).flatten(1)

    def embedding(self, images):
        """Images (n, 3, h, w) -> embedding of the wide head (n, 8192), the Track 1 descriptor before PCA."""
        return self.projector_feat_bn(self.pooled(images))

    def descriptor(self, images):
        """Images (n, 3, h, w) -> output of the matrix head (n, 256), not normalised: the Track 2
        descriptor."""
        return self.matrix_feat_bn(self.embedding(images))

    def forward(self, images):
        features = self.pooled(images)
        embedding = self.projector_feat_bn(features)
        every = range(CLASSIFIER_BLOCKS)
        logits = torch.cat([self.classifier(block)(embedding) for block in every], 1)
        if self.matrix_feat_bn is None:
            return Outputs(features, logits, None)
        matrix = self.matrix_feat_bn(embedding)
        return Outputs(
            features, logits, torch.cat([self.classifier(block, True)(matrix) for block in every], 1)
        )

    def fix_gem(self, p=3.0):
        """Throw the trained GeM exponent away and put a fixed one in its place, as the published extraction
        does."""
        pooling = GeM(p).to(self.base[GEM_INDEX].p.device)
        pooling.p.requires_grad_(False)
        self.base[GEM_INDEX] = pooling
