"""torchvision's RetinaNet (Lin et al. 2017) on a ResNet of any width, the same in torchvision 0.8.2 and
today.

The published detector is YOLOv5x, whose code is GPL-3.0; this one stands in for it under a permissive
licence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Tuple

import numpy as np
import torch

from encore.detection.detections import CLASSES
from encore.detection.torchvision_nms import load_torchvision
from encore.models.resnet import RESNET50_LAYERS, ResNet
from encore.runtime.refusal import Refusal

STAGES = ("layer2", "layer3", "layer4")
"""The backbone's maps of strides 8, 16 and 32, on which the pyramid stands."""
WITH_COARSER = 5
LEAST_SIDE = 1.0
"""Pixels; a thinner box holds no crop."""


@dataclass(frozen=True)
class RetinaNetShape:
    """The sizes of the network; the defaults are torchvision's RetinaNet with ResNet-50."""

    layers: Tuple[int, ...] = RESNET50_LAYERS
    width: int = 64
    """Channels after the first convolution."""
    channels: int = 256
    """Of the feature pyramid and of both heads."""
    anchors: Tuple[int, ...] = (32, 64, 128, 256, 512)
    """Side of the smallest anchor of each level in pixels of the frame; three levels of strides 8 to 32,
    or five up to 128. Each has three sizes (times 1, 2^(1/3), 2^(2/3)) by three ratios (1/2, 1, 2)."""
    size: int = 640
    """Long side of the letterboxed frame in pixels, a multiple of 32."""

    def __post_init__(self):
        if len(self.anchors) not in (len(STAGES), WITH_COARSER) or min(self.anchors) < 1:
            raise Refusal("anchors: expected 3 or 5 sizes from 1 up, found {}".format(self.anchors))
        if len(self.layers) != 4 or min(self.layers + (self.width, self.channels)) < 1:
            raise Refusal("layers, width and channels: expected 4 numbers of blocks and sizes from 1 up")
        if self.size < 32 or self.size % 32:
            raise Refusal("size must be a multiple of 32, found {}".format(self.size))


@dataclass(frozen=True)
class Selection:
    """Which boxes count as detections; the defaults are published."""

    confidence: float = 0.1
    overlap: float = 0.45
    """Intersection over union above which the less confident box of a class goes."""
    most: int = 1000
    """Boxes a picture."""


PUBLISHED = Selection()


def build_retina_net(shape, selection=PUBLISHED):
    """torchvision's RetinaNet for the two classes, with initial weights from torch's global generator."""
    load_torchvision()
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    backbone = ResNet(shape.layers, shape.width, classes=None)
    widths = [backbone.features // reduced for reduced in (4, 2, 1)]
    five = len(shape.anchors) == WITH_COARSER
    coarser = LastLevelP6P7(shape.channels, shape.channels) if five else _no_coarser_levels()
    pyramid = BackboneWithFPN(
        backbone, {name: str(i) for i, name in enumerate(STAGES)}, widths, shape.channels, coarser
    )
    sizes = tuple(tuple(int(side * 2 ** (third / 3.0)) for third in range(3)) for side in shape.anchors)
    network = _boxless_retina_net()(
        pyramid,
        len(CLASSES),
        min_size=shape.size,  # frames have this long side already: torchvision's transform only normalises
        max_size=shape.size,
        anchor_generator=AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes)),
        score_thresh=selection.confidence,
        nms_thresh=selection.overlap,
        detections_per_img=selection.most,
    )
    _start_towers(network.head)
    return network


def _start_towers(head):
    """He's initial weights for the four convolutions of each head: torchvision's fixed deviation of 0.01
    suits 256 channels, and lets next to nothing through 32."""
    for tower in (head.classification_head.conv, head.regression_head.conv):
        for module in tower.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def _no_coarser_levels():
    """torchvision reads None as one more level by max-pooling."""
    from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

    class NoCoarserLevels(ExtraFPNBlock):
        def forward(self, results, x, names):
            return results, names

    return NoCoarserLevels()


def _boxless_retina_net():
    from torchvision.models.detection import RetinaNet

    class BoxlessRetinaNet(RetinaNet):
        """Also trains on pictures without a box, at which torchvision 0.8.2 fails; else torchvision's
        losses."""

        def compute_loss(self, targets, head_outputs, anchors):
            from torchvision.ops.boxes import box_iou

            matched = [
                self.proposal_matcher(box_iou(target["boxes"], own))
                if len(target["boxes"])
                else torch.full((len(own),), -1, dtype=torch.int64, device=own.device)
                for target, own in zip(targets, anchors)
            ]
            losses = {
                "classification": self.head.classification_head.compute_loss(targets, head_outputs, matched)
            }
            full = [i for i, target in enumerate(targets) if len(target["boxes"])]
            regression = head_outputs["bbox_regression"]
            if not full:
                return dict(losses, bbox_regression=0.0 * regression.sum())
            of_full = self.head.regression_head.compute_loss(
                [targets[i] for i in full],
                {"bbox_regression": regression[full]},
                [anchors[i] for i in full],
                [matched[i] for i in full],
            )
            return dict(losses, bbox_regression=of_full * (len(full) / len(targets)))

    return BoxlessRetinaNet


def detect(network, frames):
    """Detections of frames of one size: uint8 (n, 3, h, w) -> list of n float32 arrays (m, 6).

    network: of `build_retina_net`, in evaluation mode. Rows as `encore.detection.detections` says; boxes of
    less than a pixel's width or height are left out.
    """
    device = next(network.parameters()).device
    with torch.no_grad():
        found = network(list(frames.to(device).float().div_(255)))
    return [_rows(one, network.detections_per_img) for one in found]


def _rows(found, most):
    parts = [found["boxes"], found["scores"][:, None], found["labels"][:, None].to(found["boxes"])]
    rows = torch.cat(parts, dim=1).cpu().numpy()
    rows = rows[((rows[:, 2:4] - rows[:, :2]) >= LEAST_SIDE).all(axis=1)]
    return rows[np.argsort(-rows[:, 4], kind="mergesort")][:most]


def portable_state(network):
    """State dict on the CPU under the names of torchvision 0.8.2, which later ones read too."""
    state = type(network.state_dict())()
    for name, value in network.state_dict().items():
        state[portable_name(name)] = value.detach().cpu()
    return state


def portable_name(name):
    """torchvision from 0.14 on nests each convolution of pyramid and heads one level deeper."""
    name = re.sub(r"(inner_blocks|layer_blocks)\.(\d+)\.0\.", r"\1.\2.", name)
    return re.sub(
        r"(_head\.conv)\.(\d+)\.0\.",
        lambda found: "{}.{}.".format(found.group(1), 2 * int(found.group(2))),
        name,
    )


def load_portable(network, state, source):
    """Load `portable_state` of a network of the same shape; Refusal, naming `source`, where it does not
    fit."""
    own = {portable_name(name): name for name in network.state_dict()}
    shapes = {name: network.state_dict()[own[name]].shape for name in own}
    wrong = sorted(
        name
        for name in set(own) | set(state)
        if name not in own or name not in state or shapes[name] != getattr(state[name], "shape", None)
    )
    if wrong:
        raise Refusal(
            "{}: {} tensors are missing, unknown or of another shape, the first is {}: give the weights of "
            "this detector, or its sizes".format(source, len(wrong), wrong[0])
        )
    network.load_state_dict({own[name]: value for name, value in state.items()})
