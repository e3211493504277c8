"""The published optimizers, and the rates of their groups (spec reid 4)."""

from __future__ import annotations

import torch

MOMENTUM = 0.9
BASE = "initial_lr"
"""Key of a group's rate before any factor, as torch's schedulers name it."""


def _sgd(groups, weight_decay, nesterov=False):
    return torch.optim.SGD(
        groups, lr=0.0, momentum=MOMENTUM, weight_decay=weight_decay, nesterov=nesterov, dampening=0.0
    )


def _nesterov(groups, weight_decay):
    return _sgd(groups, weight_decay, True)


def _adam(groups, weight_decay, amsgrad=False):
    return torch.optim.Adam(
        groups, lr=0.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay, amsgrad=amsgrad
    )


def _amsgrad(groups, weight_decay):
    return _adam(groups, weight_decay, True)


def _rmsprop(groups, weight_decay):
    return torch.optim.RMSprop(
        groups, lr=0.0, alpha=0.99, eps=1e-8, momentum=MOMENTUM, weight_decay=weight_decay
    )


OPTIMIZERS = {
    "sgd": _sgd,
    "nesterov": _nesterov,
    "adam": _adam,
    "amsgrad": _amsgrad,
    "rmsprop": _rmsprop,
}


def build_optimizer(name, groups, weight_decay):
    """The optimizer of a published name on parameter groups, dicts of `params` and `lr`.

    Published quirk: any other name is plain SGD with momentum. weight_decay acts on all parameters, biases
    and BatchNorm too.
    """
    optimizer = OPTIMIZERS.get(name, _sgd)(groups, weight_decay)
    for group in optimizer.param_groups:
        group[BASE] = group["lr"]
    return optimizer


def set_factor(optimizer, factor):
    """Set each group's rate to `factor` times its own one; call before the update."""
    for group in optimizer.param_groups:
        group["lr"] = group[BASE] * factor


def rates(optimizer, has_backbone):
    """Name -> rate as they are set now: fc_learning_rate of the heads, and learning_rate of the backbone, 0
    where that is frozen."""
    groups = optimizer.param_groups
    backbone = groups[1]["lr"] if has_backbone else 0.0
    return {"learning_rate": backbone, "fc_learning_rate": groups[0]["lr"]}
