"""Multiply-adds of a network, counted by formula from the shapes of its convolutions and linear layers."""

from __future__ import annotations

import math

import torch
import torch.nn as nn


def of_layer(layer, output):
    """Multiply-adds of one layer for one image.

    Convolution: outputs x kernel x input channels per group; linear: inputs x outputs. Everything else
    (normalisation, activation, pooling) is below 1 % and not counted.
    """
    if isinstance(layer, nn.Conv2d):
        return output[0].numel() * math.prod(layer.kernel_size) * layer.in_channels // layer.groups
    return layer.in_features * output[0].numel()


def multiply_adds(make_network, height, width, forward=None):
    """Multiply-adds of one image of `height` x `width` through the network that `make_network()` builds.

    forward(network, images): the way through it, by default its forward. Runs on torch's meta device: shapes
    only, no memory.
    """
    counted = []
    with torch.device("meta"):
        network = make_network().eval()
        for layer in network.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                layer.register_forward_hook(lambda layer, _, output: counted.append(of_layer(layer, output)))
        images = torch.empty(1, 3, height, width)
        network(images) if forward is None else forward(network, images)
    return sum(counted)
