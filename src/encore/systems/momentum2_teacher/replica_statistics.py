"""The running statistics of the teacher's momentum BatchNorm on each replica."""

from __future__ import annotations

import contextlib

from encore.runtime.refusal import Refusal


class ReplicaStatistics:
    """Running mean, running variance and count of iterations of each MomentumBatchNorm on each replica.

    Published: each GPU moves its own, since what DistributedDataParallel hands round are tensors that the
    layers no longer use; files hold those of the first GPU (spec isc-track1-training 2.2). Between two steps
    the layers carry those of replica 0.
    """

    def __init__(self, norms, replicas):
        self.norms = norms
        self.replicas = replicas
        self.spread()

    def spread(self):
        """Give every replica what the layers carry now, as a start or a resume from a published checkpoint
        does."""
        self._kept = [[_read(norm) for norm in self.norms] for _ in range(self.replicas)]

    @contextlib.contextmanager
    def of(self, replica):
        """Within the block the layers use, and move, the statistics of `replica`."""
        self._give(replica)
        yield
        self._kept[replica] = [_read(norm) for norm in self.norms]
        self._give(0)

    def _give(self, replica):
        for norm, (mean, var, iterations) in zip(self.norms, self._kept[replica]):
            norm.running_mean, norm.running_var, norm.iterations = mean, var, iterations

    def state(self):
        """What a checkpoint holds beside the network: the layers' one count of iterations, and per further
        replica a list of means and one of variances, on the CPU."""
        (iterations,) = {iterations for kept in self._kept for _, _, iterations in kept}
        others = [
            {"mean": [mean.cpu() for mean, _, _ in kept], "var": [var.cpu() for _, var, _ in kept]}
            for kept in self._kept[1:]
        ]
        return {"iterations": iterations, "others": others}

    def load(self, state, source):
        """Take back what `state` gave, once the network's weights are loaded; Refusal, naming `source`, where
        it is of another network."""
        for norm in self.norms:
            norm.iterations = int(state["iterations"])
        self.spread()
        for replica, other in enumerate(state["others"], 1):
            found = list(zip(other["mean"], other["var"]))
            own = [(mean, var) for mean, var, _ in self._kept[0]]
            if [tuple(mean.shape) for mean, _ in found] != [tuple(mean.shape) for mean, _ in own]:
                raise Refusal(
                    "%s: the BatchNorm statistics of replica %d do not fit the network: remove the file"
                    % (source, replica)
                )
            self._kept[replica] = [
                (mean.to(like), var.to(like), norm.iterations)
                for (mean, var), (like, _), norm in zip(found, own, self.norms)
            ]


def _read(norm):
    return norm.running_mean, norm.running_var, norm.iterations
