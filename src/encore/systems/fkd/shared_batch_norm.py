"""BatchNorm over a part of a batch that several processes share.

torch's own (nn.SyncBatchNorm) needs GPUs, and an all-reduce, whose order of adding is not stated. Here the
sums of the processes are gathered and added in tree order, so that every process has the same bits, and a run
is the same each time. Against one process the sums have another order: outputs and gradients agree to some
1e-6 of the largest one.
"""

from __future__ import annotations

import contextlib
import datetime
import functools

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from encore.training.distributed import ALONE, Processes, others_reached, timeout_seconds


class Team(Processes):
    """The processes of a run that share one part of each update."""

    def __init__(self, rank, count, key, group):
        super().__init__(rank, count, key)
        self._group = group

    def _all(self, tensor):
        tensor = tensor.contiguous()
        parts = [torch.empty_like(tensor) for _ in range(self.count)]
        with others_reached():
            torch.distributed.all_gather(parts, tensor, group=self._group)
        return parts


def team_of(processes, members):
    """The Team of this process, where `members` neighbours are one; to be called on every process."""
    if members == 1:
        return ALONE
    limit = datetime.timedelta(seconds=timeout_seconds())
    with others_reached():
        groups = [
            torch.distributed.new_group(list(range(first, first + members)), limit)
            for first in range(0, processes.count, members)
        ]
    number, member = divmod(processes.rank, members)
    return Team(member, members, processes.key, groups[number])


@contextlib.contextmanager
def shared_statistics(network, team):
    """Within it, every BatchNorm of `network`, in training mode, takes its statistics over the rows of all
    processes of `team`, of which each may have another number, or none."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.forward = functools.partial(_forward, norm, team)
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


def _forward(norm, team, x):
    y, mean, variance = _SharedBatchNorm.apply(x, norm.weight, norm.bias, norm.eps, team)
    if norm.track_running_stats:
        with torch.no_grad():
            norm.num_batches_tracked.add_(1)
            for running, found in ((norm.running_mean, mean), (norm.running_var, variance)):
                running.mul_(1 - norm.momentum).add_(norm.momentum * found)
    return y


class _SharedBatchNorm(torch.autograd.Function):
    """x (n, C, ...) -> (normalised x, mean (C,), unbiased variance (C,)), the last two without gradient."""

    @staticmethod
    def forward(ctx, x, weight, bias, epsilon, team):
        others = [0] + list(range(2, x.dim()))
        own = torch.cat([x.sum(others), x.new_tensor([x.numel() // x.shape[1]])])
        summed = team.sum(own)
        count = summed[-1].item()
        if count < 2:
            raise ValueError("Expected more than 1 value per channel when training, got %g" % count)
        mean = summed[:-1] / count
        centred = x - _by_channel(mean, x)
        squares = team.sum((centred * centred).sum(others))
        scale = torch.rsqrt(squares / count + epsilon)
        normalised = centred.mul_(_by_channel(scale, x))
        ctx.save_for_backward(normalised, weight, scale)
        ctx.others, ctx.count, ctx.team = others, count, team
        variance = squares / (count - 1)
        ctx.mark_non_differentiable(mean, variance)
        return normalised * _by_channel(weight, x) + _by_channel(bias, x), mean, variance

    @staticmethod
    def backward(ctx, gradient, *_):
        normalised, weight, scale = ctx.saved_tensors
        own = torch.stack([gradient.sum(ctx.others), (gradient * normalised).sum(ctx.others)])
        to_bias, to_weight = own
        means = ctx.team.sum(own) / ctx.count
        to_x = gradient - _by_channel(means[0], gradient) - normalised * _by_channel(means[1], gradient)
        return to_x.mul_(_by_channel(weight * scale, gradient)), to_weight, to_bias, None, None


def _by_channel(values, x):
    return values.view([1, -1] + [1] * (x.dim() - 2))
