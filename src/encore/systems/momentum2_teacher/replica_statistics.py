"""The running statistics of the teacher's momentum BatchNorm on each replica."""

from __future__ import annotations

import contextlib

import torch

from encore.runtime.refusal import Refusal
from encore.training.distributed import ALONE


class ReplicaStatistics:
    """Running mean, running variance and count of iterations of each MomentumBatchNorm on each replica.

    Published: each GPU moves its own, since what DistributedDataParallel hands round are tensors that the
    layers no longer use; files hold those of the first GPU (spec isc-track1-training 2.2). Of several
    processes each keeps those of its own replicas. Between two steps the layers carry those of its first one,
    in the first process replica 0.
    """

    def __init__(self, norms, replicas, processes=ALONE):
        self.norms, self.processes = norms, processes
        self.own = processes.share(replicas)
        self.spread()

    def spread(self):
        """Give every replica what the layers carry now, as a start or a resume from a published checkpoint
        does."""
        self._kept = {replica: [_read(norm) for norm in self.norms] for replica in self.own}

    def kept(self):
        """All as it is now, for `put_back`; the layers never write into it."""
        return dict(self._kept)

    def put_back(self, kept):
        """Take back what `kept` gave."""
        self._kept = dict(kept)
        self._give(self.own[0])

    @contextlib.contextmanager
    def of(self, replica):
        """Within the block the layers use, and move, the statistics of `replica`."""
        self._give(replica)
        yield
        self._kept[replica] = [_read(norm) for norm in self.norms]
        self._give(self.own[0])

    def _give(self, replica):
        for norm, (mean, var, iterations) in zip(self.norms, self._kept[replica]):
            norm.running_mean, norm.running_var, norm.iterations = mean, var, iterations

    def state(self):
        """What a checkpoint holds beside the network: the layers' one count of iterations, and per further
        replica a list of means and one of variances, on the CPU. Every process must call it."""
        (iterations,) = {iterations for kept in self._kept.values() for _, _, iterations in kept}
        own = [torch.cat([torch.cat([mean, var]) for mean, var, _ in kept]) for kept in self._kept.values()]
        rows = self.processes.gather(torch.stack(own)).cpu()
        return {"iterations": iterations, "others": [self._split(row) for row in rows[1:]]}

    def _split(self, row):
        """The means and variances of one replica, each a tensor of its own, from all of them in a row."""
        sizes = [len(mean) for mean, _, _ in self._kept[self.own[0]] for _ in ("mean", "var")]
        parts = [part.clone() for part in row.split(sizes)]
        return {"mean": parts[::2], "var": parts[1::2]}

    def load(self, state, source):
        """Take back what `state` gave, once the network's weights are loaded; Refusal, naming `source`, where
        it is of another network."""
        for norm in self.norms:
            norm.iterations = int(state["iterations"])
        self.spread()
        own = [(mean, var) for mean, var, _ in self._kept[self.own[0]]]
        for replica, other in enumerate(state["others"], 1):
            found = list(zip(other["mean"], other["var"]))
            if [tuple(mean.shape) for mean, _ in found] != [tuple(mean.shape) for mean, _ in own]:
                raise Refusal(
                    "%s: the BatchNorm statistics of replica %d do not fit the network: remove the file"
                    % (source, replica)
                )
            if replica in self.own:
                self._kept[replica] = [
                    (mean.to(like), var.to(like), norm.iterations)
                    for (mean, var), (like, _), norm in zip(found, own, self.norms)
                ]
        self._give(self.own[0])


def _read(norm):
    return norm.running_mean, norm.running_var, norm.iterations
