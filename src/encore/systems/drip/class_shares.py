"""A batch and a kernel shared by several processes: rows of the one, columns of the other."""

from __future__ import annotations

from collections import Counter, OrderedDict

import torch

from encore.losses.arcface import class_columns
from encore.training.distributed import Processes, others_reached

KERNEL = "criterion.kernel"
MOMENTS = ("exp_avg", "exp_avg_sq")


class RowShares:
    """Which rows of batches of up to `batch` each of `processes` embeds: equal parts, the last ones may lack
    some or all."""

    def __init__(self, batch, processes: Processes):
        self.processes, self._size = processes, -(-batch // processes.count)

    @property
    def rows(self):
        """The slice of each batch that is this process's."""
        first = self.processes.rank * self._size
        return slice(first, first + self._size)

    def gather(self, own, count):
        """float (own rows, d) of each process -> (count, d) of the whole batch, on all of them."""
        if self.processes.count == 1:
            return own
        padded = own.new_zeros((self._size,) + tuple(own.shape[1:]))
        padded[: len(own)] = own
        return self.processes.gather(padded)[:count]

    def counts(self, raised):
        """The sum of the name -> number of all processes."""
        if self.processes.count == 1 or not self._any(raised):
            return raised
        found = [None] * self.processes.count
        with others_reached():
            torch.distributed.all_gather_object(found, dict(raised))
        return dict(sum(map(Counter, found), Counter()))

    def _any(self, raised):
        device = torch.cuda.current_device() if torch.distributed.get_backend() == "nccl" else "cpu"
        mine = torch.tensor([sum(raised.values())], dtype=torch.int64, device=device)
        return bool(self.processes.sum(mine))


class Whole:
    """What `write_checkpoint` asks of a network or an optimizer."""

    def __init__(self, state):
        self._state = state

    def state_dict(self):
        return self._state


def whole_columns(part, head):
    """(features, own columns) of each process -> (features, classes) on the CPU of the first one; the others
    get `part` back. All must call."""
    processes, pieces = head.processes, []
    for rank in range(processes.count):
        own = class_columns(head.classes, rank, processes.count)
        piece = part.detach().contiguous()
        if rank != processes.rank:
            piece = part.new_empty((part.shape[0], len(own)))
        processes.broadcast(piece, rank)
        if processes.is_first:
            pieces.append(piece.cpu())
    return torch.cat(pieces, dim=1) if processes.is_first else part


def whole_network(network):
    """The network as `write_checkpoint` takes it, with the kernel of all classes. All must call."""
    head = network.criterion
    if head.processes.count == 1:
        return network
    state = OrderedDict(network.state_dict())
    state[KERNEL] = whole_columns(head.kernel, head)
    return Whole(state)


def whole_optimizer(optimizer, head):
    """The same for Adam's state, whose last parameter is the kernel."""
    if head.processes.count == 1:
        return optimizer
    state = optimizer.state_dict()
    place = state["param_groups"][-1]["params"][-1]
    if place not in state["state"]:  # before the first update
        return optimizer
    moments = dict(state["state"][place])
    moments.update({name: whole_columns(moments[name], head) for name in MOMENTS})
    return Whole(dict(state, state={**state["state"], place: moments}))


def own_state(state, head):
    """The state dict of a whole network with this process's columns of the kernel."""
    return OrderedDict(state, **{KERNEL: _own(state[KERNEL], head)})


def own_optimizer_state(state, head):
    """The same of a whole Adam."""
    place = state["param_groups"][-1]["params"][-1]
    if place not in state["state"]:
        return state
    moments = dict(state["state"][place])
    moments.update({name: _own(moments[name], head) for name in MOMENTS})
    return dict(state, state={**state["state"], place: moments})


def _own(whole, head):
    return whole[:, head.own.start : head.own.stop]
