"""How far the statistics of a batch are from those that each BatchNorm layer kept of the training set."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from encore.runtime.placed_network import PlacedNetwork
from encore.runtime.refusal import Refusal
from encore.systems.fkd.networks import frozen


class MatchedTeacher:
    """A teacher whose BatchNorm layers compare: pictures float (n, 3, s, s) -> (logits (n, classes),
    distances (layers,)), both differentiable.

    distances: of each BatchNorm2d, in the order of `modules()`, the Euclidean distance between the batch's
    variances (biased) of its input and the running ones, plus that between the means. The teacher's layers
    are replaced in place: it is frozen and serves for nothing else. Pickled, it goes to another machine's
    device. Refusal for a network without such layers.
    """

    def __init__(self, teacher, device="cpu"):
        self._placed = PlacedNetwork(frozen(teacher), device)
        _replace(self.network)
        if not self.layers:
            raise Refusal(
                "the teacher has no BatchNorm2d layer, whose statistics pictures are made from: choose a "
                "network with BatchNorm, such as resnet18"
            )

    @property
    def network(self):
        return self._placed.network

    @property
    def device(self):
        return self._placed.device

    @property
    def layers(self):
        """Those that compare, in the order of `modules()`."""
        return [module for module in self.network.modules() if isinstance(module, ComparingBatchNorm)]

    def __call__(self, x):
        logits = self.network(x)
        return logits, torch.stack([layer.take() for layer in self.layers])


class ComparingBatchNorm(nn.Module):
    """BatchNorm by the running statistics of `norm`, an nn.BatchNorm2d, which keeps the distance between them
    and those of its last input."""

    def __init__(self, norm):
        super().__init__()
        if norm.running_mean is None:
            raise Refusal("a BatchNorm layer of the teacher keeps no statistics: choose another network")
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(norm, name)
            self.register_buffer(name, None if value is None else value.detach())
        self.eps = norm.eps
        self._distance = None

    def forward(self, x):
        y, self._distance = _CompareAndNormalise.apply(
            x, self.weight, self.bias, self.running_mean, self.running_var, self.eps
        )
        return y

    def __getstate__(self):
        return dict(self.__dict__, _distance=None)

    def take(self):
        """The distance, once: with it goes the graph that leads to it."""
        distance, self._distance = self._distance, None
        return distance


class _CompareAndNormalise(torch.autograd.Function):
    """Both uses of a layer's input in one node: their gradients come in two passes over it, where autograd
    makes about ten of the separate operations."""

    @staticmethod
    def forward(ctx, x, weight, bias, running_mean, running_var, eps):
        mean, variance = batch_statistics(x)
        mean_gap, variance_gap = mean - running_mean, variance - running_var
        mean_norm, variance_norm = mean_gap.norm(), variance_gap.norm()
        count = x.numel() // x.shape[1]
        scale = torch.rsqrt(running_var + eps)
        ctx.save_for_backward(
            x,
            mean,
            scale if weight is None else scale * weight,
            _direction(mean_gap, mean_norm) / count,
            _direction(variance_gap, variance_norm) * (2 / count),
        )
        y = F.batch_norm(x, running_mean, running_var, weight, bias, False, 0.0, eps)
        return y, variance_norm + mean_norm

    @staticmethod
    @once_differentiable
    def backward(ctx, of_y, of_distance):
        x, mean, scale, along_mean, along_variance = ctx.saved_tensors
        # Of the distance: along_mean + along_variance * (x - mean), by channel. batch_norm computes a line by
        # channel in one pass: (x - 0) / 1 * slope + offset.
        slope = along_variance * of_distance
        offset = along_mean * of_distance - slope * mean
        zeros, ones = torch.zeros_like(mean), torch.ones_like(mean)
        gradient = F.batch_norm(x, zeros, ones, slope, offset, False, 0.0, 0.0)
        gradient.addcmul_(of_y, scale[:, None, None])
        return gradient, None, None, None, None, None


def batch_statistics(x):
    """Mean and biased variance of each channel of (n, c, h, w), without a graph."""
    if x.is_cuda:
        variance, mean = torch.var_mean(x, (0, 2, 3), unbiased=False)
        return mean, variance
    # torch's var_mean does not vectorise on the CPU; two passes do, and are as exact.
    mean = x.mean((0, 2, 3))
    rest = x - mean[:, None, None]
    return mean, rest.mul_(rest).mean((0, 2, 3))


def _direction(gap, norm):
    """gap / norm, zeros where the norm is 0, as the gradient of torch's norm."""
    return gap / norm.clamp(min=torch.finfo(gap.dtype).tiny)


def _replace(network):
    """Replace each BatchNorm2d below `network` by one that compares."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, ComparingBatchNorm(child))
