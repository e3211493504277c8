"""Layers above the backbone: embeddings, parts and classifiers, with their published initial values."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F

from encore.losses.am_softmax import AmSoftmax
from encore.runtime.refusal import Refusal

DROPOUT = 0.5


def plain_embedding(channels, features):
    """State S: a linear layer; weights N(0, sqrt(2 / features)), no bias at first."""
    return _kaiming(nn.Linear(channels, features))


def normed_embedding(channels, features, uniform_gamma):
    """State H's plain embedding: linear layer as in S, BatchNorm with a scale drawn from N(1, 0.02),
    dropout."""
    layers = default_embedding(channels, features, uniform_gamma)
    _kaiming(layers[0])
    nn.init.normal_(layers[1].weight, 1.0, 0.02)
    return layers


def default_embedding(channels, features, uniform_gamma):
    """Linear layer, BatchNorm, dropout with the framework's initial values: state H's global branch."""
    norm = _batch_norm(nn.BatchNorm1d, uniform_gamma)
    return nn.Sequential(nn.Linear(channels, features), norm(features), nn.Dropout(DROPOUT))


def embedding_mask(channels, features, uniform_gamma):
    """State H's feature mask: factors in (0, 1), one for each of `features`."""
    return nn.Sequential(*default_embedding(channels, features, uniform_gamma), nn.Sigmoid())


def classifier(features, classes, margins=None):
    """A linear layer with weights N(0, 0.001) and no bias at first, or AmSoftmax where `margins` (an
    AngularSoftmax) has any."""
    if margins is not None and margins.margin:
        return AmSoftmax(features, classes, margins.margin, margins.step, margins.scale)
    layer = nn.Linear(features, classes)
    nn.init.normal_(layer.weight, 0.0, 0.001)
    nn.init.zeros_(layer.bias)
    return layer


def logits_of(layer, features, labels=None, global_step=0):
    """Logits (n, classes) by what `classifier` made; labels and step only matter to AmSoftmax."""
    if isinstance(layer, AmSoftmax):
        return layer(features, labels, global_step)
    return layer(features)


class Parts(nn.Module):
    """Horizontal parts of a feature map, each with its own embedding and its own classifier.

    channels: of the map. shape: a NetworkShape. classes: None for no classifiers. State S: average pooling,
    linear layer, dropout. State H: largest value, 1x1 convolution, BatchNorm, dropout. Initial values are the
    framework's. Keys: branch.<part>.<layer>, classifier.<part>, mask.<layer>.
    """

    def __init__(self, channels, shape, classes, margins=None):
        super().__init__()
        self.parts, self.largest = shape.pcb_n_parts, shape.state == "H"
        width = shape.feature_dim // shape.pcb_n_parts
        parts = range(self.parts)
        self.branch = nn.ModuleList([_part_branch(channels, width, shape) for _ in parts])
        self.classifier = None
        if classes is not None:
            self.classifier = nn.ModuleList([_part_classifier(width, classes, margins) for _ in parts])
        self.mask = None
        if shape.feature_mask:
            self.mask = embedding_mask(channels, shape.feature_dim, shape.uniform_gamma)

    def forward(self, maps):
        """Feature maps float (n, channels, h, w) -> a list of the parts' features, float (n, width) each.

        The rows are cut into parts of ceil(h / parts) rows, the last one has what is left: published. Refusal
        where the map gives fewer parts than asked for (published: IndexError).
        """
        pieces = maps.chunk(self.parts, 2)
        if len(pieces) < self.parts:
            refuse_few_rows(int(maps.shape[2]), self.parts)
        if self.largest:
            return [branch(largest(piece)).flatten(1) for branch, piece in zip(self.branch, pieces)]
        return [branch(average(piece).flatten(1)) for branch, piece in zip(self.branch, pieces)]

    def logits(self, features, labels=None, global_step=0):
        """Logits (n, classes) of each part's features; none without classifiers."""
        layers = self.classifier if self.classifier is not None else ()
        return [logits_of(layer, part, labels, global_step) for layer, part in zip(layers, features)]

    def triplet_features(self, features, maps):
        """What the triplet loss sees: the parts side by side (n, feature_dim), times the mask where there is
        one; the mask touches neither logits nor evaluation (published)."""
        joined = torch.cat(features, 1)
        return joined if self.mask is None else joined * self.mask(largest(maps).flatten(1))


def average(maps):
    """Feature maps (n, c, h, w) -> their averages (n, c, 1, 1)."""
    return F.adaptive_avg_pool2d(maps, 1)


def largest(maps):
    """Feature maps (n, c, h, w) -> their largest values (n, c, 1, 1)."""
    return F.adaptive_max_pool2d(maps, 1)


def pieces_of(rows, parts):
    """How many pieces torch's chunk cuts `rows` into when asked for `parts`."""
    size = -(-rows // parts)
    return -(-rows // size)


def refuse_few_rows(rows, parts):
    """Refuse a feature map whose rows do not give that many parts."""
    raise Refusal(
        "pcb_n_parts: expected a feature map that can be cut into %d parts, found one of %d rows, which "
        "gives %d: raise img_h, set last_conv_stride to 1 or ask for fewer parts"
        % (parts, rows, pieces_of(rows, parts))
    )


def _part_branch(channels, width, shape):
    if shape.state == "S":
        return nn.Sequential(nn.Linear(channels, width), nn.Dropout(DROPOUT))
    norm = _batch_norm(nn.BatchNorm2d, shape.uniform_gamma)
    return nn.Sequential(nn.Conv2d(channels, width, 1), norm(width), nn.Dropout(DROPOUT))


def _part_classifier(width, classes, margins):
    if margins is not None and margins.margin:
        return classifier(width, classes, margins)
    return nn.Linear(width, classes)


def _batch_norm(kind, uniform_gamma):
    """A maker of BatchNorm layers; uniform_gamma: its scales start from U(0, 1), as in torch before 1.2,
    which the published network was made with, else from 1."""

    def make(features):
        layer = kind(features)
        if uniform_gamma:
            nn.init.uniform_(layer.weight)
        return layer

    return make


def _kaiming(layer):
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer
