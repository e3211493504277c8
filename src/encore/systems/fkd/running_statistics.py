"""BatchNorm's running statistics over parts of a batch that different processes work on.

They are a chain: each part moves what the part before left by a tenth, in float32, so the order decides the
bits. A process therefore takes over each layer's from the process of the part before, as soon as that one
has computed this layer, and hands its own on: all work at the same time, one layer apart.
"""

from __future__ import annotations

import contextlib

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from encore.training.distributed import others_reached
from encore.training.replicas import running_statistics_kept


class RunningStatistics:
    """Those of `network`. Part i of an update is worked on by team i mod `teams`, of `members` processes that
    have consecutive ranks and hold the same."""

    def __init__(self, network, teams, members, processes):
        self.network, self.teams, self.members, self.processes = network, teams, members, processes
        self.norms = [
            module
            for module in network.modules()
            if isinstance(module, _BatchNorm) and module.track_running_stats
        ]
        self._sent = []

    @contextlib.contextmanager
    def in_order(self, number, parts):
        """Within it, the forward pass of part `number` of `parts` takes the running statistics on from the
        part before that keeps any, and leaves them alone where it keeps none."""
        if not parts[number].keeps:
            with running_statistics_kept(self.network):
                yield
            return
        earlier = [place for place in range(number) if parts[place].keeps]
        later = [place for place in range(number + 1, len(parts)) if parts[place].keeps]
        source = self._other_rank(earlier[-1]) if earlier else None
        target = self._other_rank(later[0]) if later else None
        hooks = [self._hooks(tag, norm, source, target) for tag, norm in enumerate(self.norms)]
        try:
            yield
        finally:
            for hook in sum(hooks, []):
                hook.remove()

    def share(self, parts):
        """After the forward passes of all `parts`: give every process what the last one left."""
        with others_reached():
            for (
                work,
                _,
            ) in self._sent:  # not before: they are taken after the gradients of this round are added
                work.wait()
        self._sent = []
        keeping = [number for number, part in enumerate(parts) if part.keeps]
        if self.teams == 1 or not self.norms:
            return
        values = torch.cat([_packed(norm) for norm in self.norms])
        self.processes.broadcast(values, keeping[-1] % self.teams * self.members)
        sizes = [_packed(norm).numel() for norm in self.norms]
        for norm, part in zip(self.norms, values.split(sizes)):
            _unpack(norm, part)

    def _other_rank(self, number):
        """The rank that this one exchanges with for part `number`; None where it is its own."""
        rank = number % self.teams * self.members + self.processes.rank % self.members
        return None if rank == self.processes.rank else rank

    def _hooks(self, tag, norm, source, target):
        def take(module, inputs):
            values = torch.empty_like(_packed(norm))
            with others_reached():
                torch.distributed.recv(values, source, tag=tag)
            _unpack(norm, values)

        def hand_on(module, inputs, output):
            values = _packed(norm)
            with others_reached():  # values: to be kept until they are sent
                self._sent.append((torch.distributed.isend(values, target, tag=tag), values))

        hooks = [] if source is None else [norm.register_forward_pre_hook(take)]
        return hooks if target is None else hooks + [norm.register_forward_hook(hand_on)]


def _packed(norm):
    """float64 (2 C + 1,): exact for all of them."""
    parts = (norm.running_mean, norm.running_var, norm.num_batches_tracked.view(1))
    return torch.cat([part.double() for part in parts])


def _unpack(norm, values):
    channels = norm.num_features
    norm.running_mean.copy_(values[:channels])
    norm.running_var.copy_(values[channels : 2 * channels])
    norm.num_batches_tracked.fill_(int(values[-1].item()))
