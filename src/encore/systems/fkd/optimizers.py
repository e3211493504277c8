"""Optimizers of the students, and their learning rates by epoch."""

from __future__ import annotations

import math

import torch

ADAMW_BETAS = (0.9, 0.999)
ADAMW_EPSILON = 1e-8


def parameter_groups(network, weight_decay):
    """Two groups in the order of `named_parameters`: those that decay, and the others with weight decay 0.

    Published rule: a parameter decays if its name contains "weight" and it has more than one dimension (in a
    ResNet-18: 21 of 62).
    """
    decaying, others = [], []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            (decaying if decays(name, parameter) else others).append(parameter)
    return [{"params": decaying, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def decays(name, parameter):
    """Whether weight decay applies to the parameter `name`."""
    return "weight" in name and parameter.ndim > 1


def adamw(network, learning_rate=0.001, weight_decay=0.01):
    """AdamW over `parameter_groups`; the defaults are the published values."""
    groups = parameter_groups(network, weight_decay)
    return torch.optim.AdamW(groups, lr=learning_rate, betas=ADAMW_BETAS, eps=ADAMW_EPSILON)


def sgd(network, learning_rate=1.024, momentum=0.875, weight_decay=3e-5):
    """SGD without Nesterov over `parameter_groups`; the defaults are the published values."""
    return torch.optim.SGD(parameter_groups(network, weight_decay), lr=learning_rate, momentum=momentum)


def set_rate(optimizer, learning_rate):
    """Give every group the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def cosine(epoch, epochs):
    """Factor on the learning rate in `epoch` (counted from 0) of `epochs`: (1 + cos(pi e / E)) / 2."""
    return 0.5 * (1.0 + math.cos(math.pi * epoch / epochs))


def linear(epoch, epochs):
    """Factor on the learning rate in `epoch` (counted from 0) of `epochs`: 1 - e / E."""
    return 1.0 - epoch / epochs


SCHEDULES = {"cosine": cosine, "linear": linear}
