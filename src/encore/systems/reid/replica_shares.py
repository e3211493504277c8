"""How the pictures of a batch are dealt out to replicas, and these to processes."""

from __future__ import annotations

from encore.training.distributed import ALONE


class ReplicaShares:
    """The shares of `replicas` in a batch, and those that one of the `processes` carries.

    Replicas take rows as torch's chunk cuts a batch: each the same number, rounded up, until none are left; a
    short batch can leave the last replicas without any. Processes take replicas in their order. Refusal for
    replicas that they cannot share.
    """

    def __init__(self, replicas, processes=ALONE):
        self.replicas, self.processes = replicas, processes
        self.own = processes.share(replicas)

    def sizes(self, size):
        """Pictures of each replica that has any, of a batch of `size`."""
        share = -(-size // self.replicas)
        return [min(share, size - start) for start in range(0, size, share)]

    def of_processes(self, size):
        """Pictures of each process."""
        each = len(self.own)
        sizes = self.sizes(size)
        return [sum(sizes[first : first + each]) for first in range(0, self.replicas, each)]

    def all_parts(self, size):
        """The rows of each replica that has any, as slices of the whole batch."""
        sizes = self.sizes(size)
        return [slice(sum(sizes[:number]), sum(sizes[: number + 1])) for number in range(len(sizes))]

    def parts(self, size):
        """(number, rows) of each replica of this process that has any."""
        return [(number, rows) for number, rows in enumerate(self.all_parts(size)) if number in self.own]

    def rows(self, size):
        """The rows of this process, a range."""
        parts = self.parts(size)
        return range(parts[0][1].start, parts[-1][1].stop) if parts else range(0)


WHOLE = ReplicaShares(1)
"""All of a batch in one share."""
