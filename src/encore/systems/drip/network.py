"""The descriptor network: a backbone by name with generalised-mean pooling, a neck, unit length, ArcFace."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Optional, Tuple

import torch
import torch.nn as nn

from encore.detection.torchvision_nms import load_torchvision
from encore.losses.arcface import ArcFace
from encore.models.gem import GeM
from encore.models.resnet import BasicBlock, ResNet
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import is_state_dict, safe_load
from encore.runtime.seeds import derive_seed
from encore.training.distributed import ALONE

SYSTEM = "drip"
STAND_IN = "resnet"
"""Name of the backbone that needs no timm: a residual network of basic blocks, all of it by value."""
NECKS = "ABCDEFG"
EPSILON = 1e-6
CLASSIFIERS = ("fc", "classifier", "head.fc")
"""Where timm's networks have their classifier, in the published order of search; the first one goes."""
POOLS = ("global_pool", "head.global_pool")


@dataclass(frozen=True)
class NetworkShape:
    """What the network is made of; the defaults are those of the published 160 pixel recipe
    (`TEST26_*_nobias_l1`: neck F has no bias, the backbone is eca_nfnet_l1)."""

    backbone: str = "eca_nfnet_l1"
    """A network of timm by its name there, or "resnet" with width and layers."""
    embedding: int = limited(256, low=1)
    """Numbers of a descriptor: 256; 384 and 512 in other published models."""
    neck: str = limited("F", choices=tuple(NECKS))
    gem_p: float = 3.0
    """Where the trained exponent of the pooling starts."""
    width: Optional[int] = limited(None, low=1)
    """resnet only: channels after the first convolution."""
    layers: Optional[Tuple[int, ...]] = limited(None, low=1)
    """resnet only: basic blocks of the four stages."""
    small_stem: bool = False
    """resnet only: first convolution 3x3 with stride 1, no max-pool, for pictures of some 32 pixels."""
    groups: Optional[int] = limited(None, low=1)
    """resnet only: GroupNorm of so many groups; None: BatchNorm. The published networks have no BatchNorm, so
    a batch may be shared by several processes."""

    def __post_init__(self):
        if self.neck not in tuple(NECKS):
            raise Refusal("neck: expected one of %s, found %s" % (", ".join(NECKS), self.neck))
        if self.embedding < 1 or not self.gem_p > 0:
            raise Refusal(
                "embedding must be 1 at least and gem_p above 0, found %s and %s"
                % (self.embedding, self.gem_p)
            )
        if self.backbone == STAND_IN:
            if not self.width or self.width < 1 or not self.layers or len(self.layers) != 4:
                raise Refusal(
                    "backbone resnet: give width and four layers, found %s and %s" % (self.width, self.layers)
                )
            if self.groups is not None and self.width % self.groups:
                raise Refusal(
                    "backbone resnet: width (%d) must be a multiple of groups (%d)"
                    % (self.width, self.groups)
                )
        elif any((self.width, self.layers, self.small_stem, self.groups)):
            raise Refusal(
                "backbone %s: width, layers, small_stem and groups belong to resnet: leave them out"
                % (self.backbone or "without a name")
            )


class DripNetwork(nn.Module):
    """Images float (n, 3, h, w), normalised -> descriptors float (n, embedding) of unit norm.

    `backbone`: a Sequential of the pooled backbone, the neck's layers and UnitNorm, so that keys are the
    published ones: backbone.0.<timm's key>, backbone.0.head.global_pool.p, backbone.1.weight. `criterion`:
    the ArcFace head (criterion.kernel), or None without classes, for inference.
    """

    def __init__(self, pooled_backbone, features, shape, classes=None, processes=ALONE, columns=None):
        super().__init__()
        layers = neck(shape.neck, features, shape.embedding)
        self.backbone = nn.Sequential(pooled_backbone, *layers, UnitNorm())
        self.criterion = None
        if classes is not None:
            self.criterion = ArcFace(shape.embedding, classes, columns=columns, processes=processes)

    def forward(self, images):
        return self.backbone(images)


class FlatGeM(GeM):
    """Feature maps (n, c, h, w) -> (n, c), for where a backbone expects its own pooling to flatten."""

    def forward(self, x):
        return super().forward(x).flatten(1)


class UnitNorm(nn.Module):
    """x / (|x| + 1e-6) along dimension 1, in float32 at least.

    Published quirk: epsilon is added to the norm, so the result is a little shorter than 1; F.normalize
    takes the larger of both.
    """

    def forward(self, x):
        wide = torch.promote_types(x.dtype, torch.float32)
        return x / (torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=wide) + EPSILON)


class Highway(nn.Module):
    """float (n, width) -> x (1 - T) + H T, with H = linear(x) and T = sigmoid(linear(x)) (Srivastava et al.
    2015); the names of the two layers are ours, no published weights have them."""

    def __init__(self, width, bias=True):
        super().__init__()
        self.H = nn.Linear(width, width, bias=bias)
        self.T = nn.Linear(width, width)

    def forward(self, x):
        gate = torch.sigmoid(self.T(x))
        return x * (1 - gate) + self.H(x) * gate


def neck(name, features, embedding):
    """The layers between pooling and unit norm, a list: pooled (n, features) -> (n, embedding).

    A, B, E: linear, with PReLU after it (B), a highway before it (E); C, D: highway, linear and PReLU, in
    this order and with the last two exchanged; F: linear without bias (the published recipe); G: as D, no
    bias on the highway's H and on linear.
    """
    linear = nn.Linear(features, embedding, bias=name not in "FG")
    return {
        "A": lambda: [linear],
        "B": lambda: [linear, nn.PReLU()],
        "C": lambda: [Highway(features), linear, nn.PReLU()],
        "D": lambda: [Highway(features), nn.PReLU(), linear],
        "E": lambda: [Highway(features), linear],
        "F": lambda: [linear],
        "G": lambda: [Highway(features, bias=False), nn.PReLU(), linear],
    }[name]()


def build(shape, seed, classes=None, processes=ALONE, columns=None):
    """The DripNetwork of a NetworkShape on the CPU, in training mode; its initial weights depend on `seed`,
    the shape and `classes` alone, so shares of a kernel over `processes` fit together.

    Refusal where timm or its network of that name is missing. Nothing is downloaded: the published start
    weights come from a file, by `load_backbone`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, SYSTEM, "initial weights"))
        if shape.backbone == STAND_IN:
            trunk = ResNet(
                shape.layers,
                shape.width,
                classes=None,
                block=BasicBlock,
                small_stem=shape.small_stem,
                norm=nn.BatchNorm2d if shape.groups is None else partial(nn.GroupNorm, shape.groups),
            )
            trunk.avgpool, features = FlatGeM(shape.gem_p), trunk.features
        else:
            trunk, features = with_gem(timm_network(shape.backbone), shape.gem_p, shape.backbone)
        return DripNetwork(trunk, features, shape, classes, processes, columns)


def timm_network(name):
    """timm's network `name` with its classifier, untrained; Refusal where timm or the name is missing."""
    load_torchvision()  # timm imports it, which fails where its compiled part does not load
    try:
        import timm
    except ImportError as error:
        raise Refusal(
            "backbone %s comes from timm, which this interpreter cannot import (%s): install the lock's, or "
            "choose the backbone resnet" % (name, error)
        ) from None
    if not timm.is_model(name):  # names of before timm 0.9 (tf_efficientnetv2_l_in21ft1k) are known too
        raise Refusal("backbone %s: timm %s has no such network" % (name, timm.__version__))
    return timm.create_model(name, pretrained=False)


def with_gem(network, p, name):
    """(network, features): the classifier of a timm network replaced by the identity and its pooling by
    FlatGeM, in place; `features` is the classifier's width. Refusal where it has not one of each."""
    classifier = _first(network, CLASSIFIERS, nn.Linear, name)
    features = network.get_submodule(classifier).in_features
    _replace(network, classifier, nn.Identity())
    _replace(network, _first(network, POOLS, nn.Module, name), FlatGeM(p))
    return network, features


def backbone_state(network):
    """The state dict of a DripNetwork's backbone under timm's keys, without the pooling's exponent, which
    timm's networks have not."""
    return OrderedDict(
        (key, value)
        for key, value in network.backbone[0].state_dict().items()
        if key.rsplit(".", 2)[-2:] not in (["global_pool", "p"], ["avgpool", "p"])
    )


def load_backbone(network, path):
    """Load timm's published weights of the backbone (a state dict, in a torch file) into a DripNetwork, and
    return it; the classifier in the file is left out, the pooling's exponent stays.

    Refusal, naming the file and the first such key, for one that is missing, unknown or of another shape.
    """
    found = safe_load(path)
    own = backbone_state(network)
    if not is_state_dict(found):
        raise Refusal("%s holds no weights: give the state dict of the backbone" % path)
    found = {key: value for key, value in found.items() if not key.startswith(_CLASSIFIER_KEYS)}
    for key in list(own) + sorted(map(str, found)):
        if key not in found or key not in own or tuple(found[key].shape) != tuple(own[key].shape):
            what = "lacks" if key not in found else "has the unknown" if key not in own else "misshapes"
            raise Refusal("%s %s %s: give the state dict of this backbone" % (path, what, key))
    network.backbone[0].load_state_dict(found, strict=False)
    return network


_CLASSIFIER_KEYS = tuple(name + "." for name in CLASSIFIERS)


def _first(network, names, kind, backbone):
    modules = dict(network.named_modules())
    for name in names:
        if isinstance(modules.get(name), kind) and not isinstance(modules[name], nn.Identity):
            return name
    raise Refusal(
        "backbone %s: expected a module %s, found none: choose a convolutional classifier of timm"
        % (backbone, " or ".join(names))
    )


def _replace(network, name, module):
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, module)
