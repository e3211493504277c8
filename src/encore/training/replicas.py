"""Virtual replicas: one batch run as the published four GPUs ran it, on however many devices there are."""

from __future__ import annotations

import contextlib

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from encore.models.wave_block import WaveBlock


@contextlib.contextmanager
def running_statistics_kept(network):
    """Within the block, BatchNorm normalises by its batch but leaves running statistics and the counter
    alone."""
    norms = [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def run_replicas(module, inputs, replicas, rngs=None):
    """Run `module` (in training mode) on each replica's input in order -> list of outputs.

    inputs: one tensor per replica; replicas: their numbers in the whole batch. Statistics of BatchNorm are
    those of each input alone; the running statistics come from replica 0 alone, as in
    nn.parallel.data_parallel, whose first replica shares its buffers with the module. rngs: one random.Random
    per replica for its WaveBlocks.
    """
    wave_blocks = [part for part in module.modules() if isinstance(part, WaveBlock)]
    outputs = []
    for i, (replica, chunk) in enumerate(zip(replicas, inputs)):
        for wave_block in wave_blocks:
            wave_block.rng = rngs[i]
        if replica == 0:
            outputs.append(module(chunk))
        else:
            with running_statistics_kept(module):
                outputs.append(module(chunk))
    return outputs


class GradientSum:
    """Adds the gradients of replicas 0, 1, 2, ... in tree order while holding at most log2(replicas) + 1 of
    them."""

    def __init__(self):
        self._partial = []  # (number of replicas in the sum, gradients), largest first

    def add(self, gradients):
        """Add one replica's gradients: a sequence of tensors, always in the same order."""
        size, gradients = 1, list(gradients)
        while self._partial and self._partial[-1][0] == size:
            size, gradients = 2 * size, _added(self._partial.pop()[1], gradients)
        self._partial.append((size, gradients))

    def total(self):
        """The sum, a list of tensors."""
        total = self._partial.pop()[1]
        while self._partial:
            total = _added(self._partial.pop()[1], total)
        return total


def _added(first, second):
    return [a.add_(b) for a, b in zip(first, second)]


def leaf(tensor):
    """The values of `tensor` as the start of a new graph."""
    return tensor.detach().requires_grad_(True)


def rows_of(tensor, parts, number):
    """Part `number` of `tensor` cut in `parts` equal pieces along its first dimension."""
    return torch.chunk(tensor, parts)[number]
