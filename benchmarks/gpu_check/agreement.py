"""A few training steps on the CPU and on a device, in float64 and in float32, and how far they lie apart."""

from __future__ import annotations

from typing import NamedTuple

import torch

from benchmarks.gpu_check.arithmetic import EXACT, arithmetic, examined
from benchmarks.gpu_check.check import Check, Found, broken
from encore.runtime.refusal import Refusal

CPU = torch.device("cpu")
ROUNDING = 2.0**-24


class Steps(NamedTuple):
    """What some training steps gave; tensors by name, on the CPU, in float64."""

    losses: torch.Tensor
    """Loss of each step."""
    gradients: dict
    """Of the first step: later ones start from weights that differ already."""
    start: dict
    """Trained parameters before the first step."""
    weights: dict
    """Trained parameters after the last step."""


class Errors(NamedTuple):
    """Relative differences of two runs of the same steps."""

    losses: float
    """Largest over the steps."""
    gradients: float
    """Euclidean distance over the length of the true gradient."""
    weights: float
    """Euclidean distance over the distance that training moved them."""


DOUBLE = Errors(1e-10, 1e-10, 1e-8)
DOUBLE_REASON = (
    "float64 rounds at 1e-16, so only the order of sums may show; Adam divides by |gradient| + 1e-8, which "
    "raises the rounding of a gradient near zero by up to 1e8"
)
MARGINS = Errors(64, 64, 8)
SINGLE_REASON = (
    "the CPU's own float32 error (at least one rounding, 2^-24) times {}: other orders of sums and other "
    "algorithms stay below, TF32 rounds 8192 times coarser; of weights, that error times {}, the root, since "
    "Adam turns it into whole steps of a few weights".format(MARGINS.losses, MARGINS.weights)
)


def in_double(tensors):
    """{name: float64 copy on the CPU}"""
    return {name: tensor.detach().to(CPU, torch.float64, copy=True) for name, tensor in tensors.items()}


def distance(found, truth):
    """Euclidean distance of two {name: float64 tensor}; NaN where one holds a NaN."""
    if set(found) != set(truth):
        raise ValueError("expected the same tensors: {}".format(sorted(set(found) ^ set(truth))))
    return sum((found[name] - truth[name]).pow(2).sum() for name in sorted(truth)).sqrt().item()


def relative_distance(found, truth):
    """`distance` over the length of `truth`."""
    return distance(found, truth) / distance(truth, {name: 0 * truth[name] for name in truth})


def errors(found: Steps, truth: Steps):
    """Errors of `found` against `truth`."""
    return Errors(
        ((found.losses - truth.losses) / truth.losses).abs().max().item(),
        relative_distance(found.gradients, truth.gradients),
        distance(found.weights, truth.weights) / distance(truth.weights, truth.start),
    )


def compare(name, training_steps, device):
    """Found of one system: `training_steps(device, dtype)` -> Steps on `device` against the CPU.

    The truth is the CPU's float64. The device's float64 must meet it up to the order of sums, its float32 up
    to a multiple of the CPU's own float32 error.
    """
    with arithmetic(EXACT, CPU):
        truth = training_steps(CPU, torch.float64)
        own = errors(training_steps(CPU, torch.float32), truth)
    single = Errors(*(margin * max(error, ROUNDING) for margin, error in zip(MARGINS, own)))
    return Found(
        checks(name, training_steps, device, torch.float64, truth, DOUBLE, DOUBLE_REASON)
        + checks(name, training_steps, device, torch.float32, truth, single, SINGLE_REASON)
    )


def checks(name, training_steps, device, dtype, truth, bounds, reason):
    """(Check, ...) of the losses, gradients and weights that `device` computes in one precision."""
    names = ["{}, {}: {}".format(name, str(dtype).split(".")[1], measure) for measure in Errors._fields]
    try:
        with examined(device):
            found = errors(training_steps(device, dtype), truth)
    except Refusal as refusal:  # a loss that is not finite: the device failed, the others are still worth it
        return tuple(broken(names[i], bounds[i], reason, str(refusal)) for i in range(len(names)))
    return tuple(Check(names[i], found[i], bounds[i], reason) for i in range(len(names)))
