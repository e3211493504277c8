"""Batch normalisation over a batch that several processes share, as one process has it."""

from __future__ import annotations

import torch
from torch.nn.modules.batchnorm import _BatchNorm


def over_whole_batch(network, processes):
    """Let every BatchNorm of `network` take its statistics over the rows of all `processes` -> the network.

    Parameters, buffers and their names stay. Each process gives its own rows, as many as it likes, and has
    its own part of the loss; the gradients of the parts are summed as the caller's are. All processes must
    run the network forward and backward together. Mean and variance are summed in float64 in tree order, so
    that what differs from one process is the rounding of float32: a normalised value by a few units in its
    last place. For one process nothing is changed.
    """
    if processes.count == 1:
        return network
    for module in network.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm) and not isinstance(child, WholeBatchNorm):
                setattr(module, name, WholeBatchNorm(child, processes))
    return network


class WholeBatchNorm(_BatchNorm):
    """A BatchNorm of any dimensions over the rows of all processes; it shares the parameters and buffers of
    `norm`."""

    def __init__(self, norm, processes):
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self.processes = processes
        self._parameters.update(norm._parameters)
        self._buffers.update(norm._buffers)
        self.train(norm.training)

    def _check_input_dim(self, input):
        pass  # the name is torch's; any number of dimensions from 2 up

    def forward(self, batch):
        """float (own rows, channels, ...) -> the same shape; in evaluation mode as torch's own."""
        if not self.training and self.track_running_stats:
            return super().forward(batch)
        over = [0] + list(range(2, batch.dim()))
        along = [1, -1] + [1] * (batch.dim() - 2)
        values = batch.float() if batch.dtype in (torch.float16, torch.bfloat16) else batch
        rows = values.new_full((1,), values.numel() / values.shape[1], dtype=torch.float64)
        summed = _SumOverProcesses.apply(torch.cat([values.double().sum(over), rows]), self.processes)
        mean, count = summed[:-1] / summed[-1], summed[-1].detach()
        centred = values - mean.to(values.dtype).view(along)
        squares = _SumOverProcesses.apply(centred.double().pow(2).sum(over), self.processes)
        variance = squares / count
        if self.training and self.track_running_stats:
            self._follow(mean.detach(), squares.detach() / (count - 1))
        scaled = centred * (variance + self.eps).rsqrt().to(values.dtype).view(along)
        if self.affine:
            scaled = scaled * self.weight.view(along) + self.bias.view(along)
        return scaled.to(batch.dtype)

    @torch.no_grad()
    def _follow(self, mean, variance):
        self.num_batches_tracked.add_(1)
        share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        for running, found in ((self.running_mean, mean), (self.running_var, variance)):
            running.mul_(1 - share).add_(found.to(running.dtype) * share)


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over the processes, on each; going back, the sum of what each has as gradient."""

    @staticmethod
    def forward(context, tensor, processes):
        context.processes = processes
        return processes.sum(tensor).clone()

    @staticmethod
    def backward(context, gradient):
        return context.processes.sum(gradient), None
