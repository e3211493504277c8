"""The processes that share one training run, and sums whose result does not depend on how many there are."""

from __future__ import annotations

import os

import torch

from encore.runtime.refusal import Refusal

BUCKET = 2**24
"""Elements exchanged at a time when gradients are summed."""
KEY = "<system>.train.processes"
"""The parameter that says how many processes carry a run, where the system is not known."""


def tree_sum(parts):
    """Sum of a list of tensors, taken as ((0 + 1) + (2 + 3)) + ...: pairs of neighbours, then pairs of
    pairs."""
    parts = list(parts)
    while len(parts) > 1:
        pairs = [parts[i] + parts[i + 1] for i in range(0, len(parts) - 1, 2)]
        parts = pairs + parts[2 * len(pairs) :]
    return parts[0]


class Processes:
    """This process among the `count` that carry one run; a single one needs no torch.distributed.

    Floating-point sums depend on their order, so an all-reduce would make a run on four processes differ from
    one on one, and Adam turns the last bit of a gradient near zero into a full step. Sums are therefore taken
    by gathering the parts and adding them in the order of `tree_sum`, which nests: as long as every process
    adds its own power-of-two share the same way first, the bits are those of a single process.

    key: the parameter that says how many processes there are, for errors. Raises Refusal for a number of
    processes that the classifier's blocks cannot be spread over.
    """

    def __init__(self, rank=0, count=1, key=KEY):
        if count not in (1, 2, 4):
            raise Refusal(
                "the classifier's 4 blocks are spread over 1, 2 or 4 processes, found %d: "
                "set %s, or what the launcher starts, to one of them" % (count, key)
            )
        self.rank = rank
        self.count = count
        self.key = key

    @property
    def is_first(self):
        """Whether this process writes files and owns the running statistics."""
        return self.rank == 0

    def share(self, total):
        """The contiguous part of range(total) that this process carries.

        Refusal where it does not divide, or where shares of 3, 5, 6 ... would change the order of sums.
        """
        size, rest = divmod(total, self.count)
        if rest or (self.count > 1 and size & (size - 1)):
            raise Refusal(
                "%d replicas or blocks cannot be shared by %d processes, each must carry 1, 2, 4 ... of them "
                "so that sums keep their order: set %s, or what the launcher starts, to a number that allows "
                "it, such as 1" % (total, self.count, self.key)
            )
        return range(self.rank * size, (self.rank + 1) * size)

    def gather(self, tensor, dim=0):
        """The tensors of all processes (same shape on each), joined along `dim` in the order of ranks."""
        return tensor if self.count == 1 else torch.cat(self._all(tensor), dim)

    def sum(self, tensor):
        """The sum of the tensors of all processes, in tree order, the same bits on each."""
        return tensor if self.count == 1 else tree_sum(self._all(tensor))

    def sum_many(self, tensors):
        """As `sum` for a list of tensors, exchanged in buckets."""
        if self.count == 1:
            return tensors
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        summed = torch.cat([self.sum(part) for part in flat.split(BUCKET)])
        parts = summed.split([tensor.numel() for tensor in tensors])
        return [part.view_as(tensor) for part, tensor in zip(parts, tensors)]

    def broadcast(self, tensor, source):
        """Fill `tensor` with that of process `source`, in place."""
        if self.count > 1:
            torch.distributed.broadcast(tensor, source)
        return tensor

    def first_says(self, path, device):
        """The `path` (text or None) of the first process, on every process; what the others pass is not
        looked at. device: one that the processes exchange tensors on."""
        if self.count == 1:
            return path
        said = list(os.fsencode(path or "")) if self.is_first else []
        length = self.broadcast(torch.tensor([len(said)], device=device), 0).item()
        if not length:
            return None
        content = torch.tensor(said or [0] * length, dtype=torch.uint8, device=device)
        return os.fsdecode(bytes(self.broadcast(content, 0).tolist()))

    def barrier(self):
        """Wait for all processes."""
        if self.count > 1:
            torch.distributed.barrier()

    def _all(self, tensor):
        tensor = tensor.contiguous()
        parts = [torch.empty_like(tensor) for _ in range(self.count)]
        torch.distributed.all_gather(parts, tensor)
        return parts


ALONE = Processes()
"""A run of one process."""


def processes_key(system):
    """The parameter that says how many processes carry a training run of `system`."""
    return KEY.replace("<system>", system)


def join_processes(device=None, key=KEY):
    """Join the run that torchrun or torch.distributed.launch started -> (Processes, device).

    Reads RANK, WORLD_SIZE and LOCAL_RANK; without WORLD_SIZE the run has one process. `device` "cpu" or
    "cuda" (default: cuda where there is one) decides between gloo and nccl; with cuda each process takes the
    GPU of its local rank, and a Refusal names the shortage where there are fewer GPUs than local processes,
    and `key`, the parameter that says how many there are.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if kind == "cuda":
        if local >= torch.cuda.device_count():
            raise Refusal(
                "process %d of this machine needs a GPU of its own, found %d: lower %s, or what the launcher "
                "starts, or hide the GPUs with CUDA_VISIBLE_DEVICES="
                % (local, torch.cuda.device_count(), key)
            )
        torch.cuda.set_device(local)
    processes = Processes(int(os.environ.get("RANK", "0")), count, key)
    if count > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if kind == "cuda" else "gloo", init_method="env://")
    return processes, torch.device(kind, local) if kind == "cuda" else torch.device(kind)
