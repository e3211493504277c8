"""One update whose parts are spread over processes.

A part is what BatchNorm takes its statistics over: a chunk of a batch, or a virtual replica. Each process
carries whole parts where there are enough of them, and the gradients are added in the order of the parts, so
that the bits are those of one process. Where there are fewer parts than processes, a team of processes
shares each (see `shared_batch_norm`), and the sums within it have another order: there the result is that
of one process to rounding only.
"""

from __future__ import annotations

import contextlib
import math
from typing import NamedTuple

import torch

from encore.runtime.refusal import Refusal
from encore.systems.fkd.running_statistics import RunningStatistics
from encore.systems.fkd.shared_batch_norm import shared_statistics, team_of
from encore.systems.fkd.top_k import hits
from encore.training.distributed import ALONE, BUCKET, tree_sum


class Part(NamedTuple):
    """Rows [first, last) of a batch."""

    first: int
    last: int
    keeps: bool = True
    """Whether the running statistics of BatchNorm take it in."""


class PartValues(NamedTuple):
    """What one part came to."""

    loss: float
    """Its share of the update's loss."""
    top1: int
    """Rows whose class is the first, or among the first five, of the network's."""
    top5: int
    rows: int


class SharedUpdate:
    """The gradients of updates of `network`, each of at most `parts` parts.

    processes: any number. Raises Refusal where a team would share a part, and the network draws random
    numbers, such as dropout.
    """

    def __init__(self, network, parts, processes=ALONE):
        self.network, self.processes = network, processes
        self.teams = math.gcd(processes.count, parts)
        """Parts that are worked on at the same time."""
        self.members = processes.count // self.teams
        """Processes that share a part; with 1 the bits are those of a run of one process."""
        if self.members > 1 and draws_numbers(network):
            raise Refusal(
                "a batch whose BatchNorm parts are %d cannot be shared by %d processes, since this network "
                "draws random numbers (dropout) over each part: start as many processes as parts, or one"
                % (parts, processes.count)
            )
        self.number, self.member = divmod(processes.rank, self.members)
        self._team = team_of(processes, self.members)
        self._statistics = RunningStatistics(network, self.teams, self.members, processes)

    def gradients(self, parts, work):
        """Set `.grad` of every parameter that the loss depends on -> PartValues of each of `parts`, the same
        on every process.

        work: (number of a part, slice of the batch's rows, all of its own or this process's share) ->
        (its share of the loss, a tensor with its graph, logits, int64 classes of the rows).
        """
        self.network.zero_grad(set_to_none=True)
        if self.processes.count == 1:
            return [self._alone(number, parts, work) for number in range(len(parts))]
        total, values = GradientTotal(self.network, self.processes, self.members), []
        for first in range(0, len(parts), self.teams):
            number, own = first + self.number, PartValues(0.0, 0, 0, 0)
            if number < len(parts):
                with self._statistics.in_order(number, parts), self._shared():
                    own = _worked(number, self._own_rows(parts[number]), work)
            together = min(self.teams, len(parts) - first)
            total.add(together)
            values += self._values_of_all(own, together)
        total.set()
        self._statistics.share(parts)
        return values

    def _alone(self, number, parts, work):
        with self._statistics.in_order(number, parts):
            return _worked(number, slice(parts[number].first, parts[number].last), work)

    def _shared(self):
        return shared_statistics(self.network, self._team) if self.members > 1 else contextlib.nullcontext()

    def _own_rows(self, part):
        size, rest = divmod(part.last - part.first, self.members)
        first = part.first + self.member * size + min(self.member, rest)
        rows = size + (self.member < rest)
        return slice(first, first + rows) if rows else slice(part.first, part.first)

    def _values_of_all(self, own, together):
        device = next(self.network.parameters()).device
        found = self.processes.gather(torch.tensor([own], dtype=torch.float64, device=device))
        teams = found.view(self.teams, self.members, len(own))[:together].cpu()
        summed = [tree_sum(list(team)).tolist() for team in teams]
        return [PartValues(loss, int(top1), int(top5), int(rows)) for loss, top1, top5, rows in summed]


class GradientTotal:
    """The sum of the gradients of parts, in their order, as one process adds them up in `.grad`."""

    def __init__(self, network, processes, members):
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.processes, self.members = processes, members
        self._used, self._total = None, None

    def add(self, teams):
        """Add what the first `teams` teams have in `.grad`, and clear it on every process."""
        if self._used is None:  # the first process has always worked on a part
            used = [parameter.grad is not None for parameter in self.parameters]
            used = torch.tensor(used, dtype=torch.uint8, device=self.parameters[0].device)
            self._used = self.processes.broadcast(used, 0).tolist()
        own = [
            (torch.zeros_like(parameter) if parameter.grad is None else parameter.grad).reshape(-1)
            for parameter in self.parameters
        ]
        for parameter in self.parameters:
            parameter.grad = None
        buckets = [self._bucket(bucket, teams) for bucket in torch.cat(own).split(BUCKET)]
        if self._total is None:
            self._total = [tree_sum(parts[0]).clone() for parts in buckets]
            buckets = [parts[1:] for parts in buckets]
        for total, parts in zip(self._total, buckets):
            for part in parts:
                total.add_(tree_sum(part))

    def set(self):
        """Give every parameter its sum."""
        sizes = [parameter.numel() for parameter in self.parameters]
        for parameter, used, total in zip(self.parameters, self._used, torch.cat(self._total).split(sizes)):
            parameter.grad = total.view_as(parameter) if used else None

    def _bucket(self, bucket, teams):
        rows = self.processes.gather(bucket.unsqueeze(0))
        return [list(rows[team * self.members : (team + 1) * self.members]) for team in range(teams)]


def draws_numbers(network):
    """Whether a layer of `network` drops something by chance."""
    rates = [
        getattr(module, name, None) for module in network.modules() for name in ("p", "dropout", "drop_prob")
    ]
    return any(isinstance(rate, float) and 0 < rate <= 1 for rate in rates)


def _worked(number, rows, work):
    loss, logits, targets = work(number, rows)
    loss.backward()
    if not len(targets):
        return PartValues(0.0, 0, 0, 0)
    logits = logits.detach()
    return PartValues(loss.item(), hits(logits, targets, 1), hits(logits, targets, 5), len(targets))
