"""The processes that share one training run, and sums whose result does not depend on how many there are."""

from __future__ import annotations

import contextlib
import datetime
import os

import torch
from torch.distributed.rendezvous import rendezvous

from encore.runtime.refusal import Refusal
from encore.runtime.shard_map import end_with_parent
from encore.training.fresh_store import fresh_store

BUCKET = 2**24
"""Elements exchanged at a time when gradients are summed."""
KEY = "<system>.train.processes"
"""The parameter that says how many processes carry a run, where the system is not known."""
TIMEOUT = "ENCORE_PROCESS_TIMEOUT"
"""The variable that says after how many seconds a process that waits for another gives up."""
DEFAULT_TIMEOUT = 1800.0
"""As torch's own: in it the first process may write a checkpoint, and a machine come back."""


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

    key: the parameter that says how many processes there are, for errors. With gloo, what exchanges anything
    raises Refusal where another process has ended or cannot be reached. With NCCL no call returns there: its
    watchdog ends this process, with its own message, after the seconds of ENCORE_PROCESS_TIMEOUT at most.
    """

    def __init__(self, rank=0, count=1, key=KEY):
        if not 0 <= rank < count:
            raise Refusal(
                "process %d of %d: expected a RANK from 0 below WORLD_SIZE: correct what the launcher sets"
                % (rank, count)
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

    def refuse_unless(self, counts, what):
        """Refusal where the number of processes is none of `counts`; what: says why, for the message."""
        if self.count not in counts:
            *rest, last = map(str, counts)
            allowed = "%s or %s" % (", ".join(rest), last) if rest else last
            raise Refusal(
                "%s %s processes, found %d: set %s, or what the launcher starts, to one of them"
                % (what, allowed, self.count, self.key)
            )

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
            with others_reached():
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
            with others_reached():
                torch.distributed.barrier()

    def _all(self, tensor):
        tensor = tensor.contiguous()
        parts = [torch.empty_like(tensor) for _ in range(self.count)]
        with others_reached():
            torch.distributed.all_gather(parts, tensor)
        return parts


ALONE = Processes()
"""A run of one process."""


def processes_key(system):
    """The parameter that says how many processes carry a training run of `system`."""
    return KEY.replace("<system>", system)


@contextlib.contextmanager
def others_reached():
    """Within it, what torch.distributed raises where a process is gone is a Refusal."""
    try:
        yield
    except RuntimeError as error:
        raise Refusal(
            "another process of this run has ended or cannot be reached (%s): see what it said, then start "
            "the same command again: it goes on from the newest checkpoint" % _first_line(error)
        ) from error


def join_processes(device=None, key=KEY, counts=None, what=""):
    """Join the run that torchrun or torch.distributed.launch started -> (Processes, device).

    Reads RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT; without WORLD_SIZE the run has one
    process. `device` "cpu" or "cuda" (default: cuda where there is one) decides between gloo and nccl; with
    cuda each process takes the GPU of its local rank, and a Refusal names the shortage where there are fewer
    GPUs than local processes, and `key`, the parameter that says how many there are. counts, what: see
    `Processes.refuse_unless`; None: any number. ENCORE_PROCESS_TIMEOUT: seconds after which a process that
    waits for another gives up, with a Refusal. A process of torchrun ends with it.
    """
    count = _number("WORLD_SIZE", 1)
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    local = _number("LOCAL_RANK", 0)
    processes = Processes(_number("RANK", 0), count, key)
    if counts is not None:
        processes.refuse_unless(counts, what)
    if kind == "cuda":
        if local >= torch.cuda.device_count():
            raise Refusal(
                "process %d of this machine needs a GPU of its own, found %d: lower %s, or what the launcher "
                "starts, or hide the GPUs with CUDA_VISIBLE_DEVICES="
                % (local, torch.cuda.device_count(), key)
            )
        torch.cuda.set_device(local)
    if count > 1 and not torch.distributed.is_initialized():
        _join("nccl" if kind == "cuda" else "gloo")
    return processes, torch.device(kind, local) if kind == "cuda" else torch.device(kind)


def _join(backend):
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    if by_torchrun:  # where it is killed it leaves its processes behind
        end_with_parent(os.getppid())
    os.environ.setdefault("NCCL_ASYNC_ERROR_HANDLING", "1")  # of torch 1.7.1: else NCCL waits for ever
    seconds = timeout_seconds()
    timeout = datetime.timedelta(seconds=seconds)
    try:
        store, rank, count = next(rendezvous("env://", timeout=timeout))
        if by_torchrun:
            store = fresh_store(store, rank, count, seconds)
        torch.distributed.init_process_group(
            backend, store=store, rank=rank, world_size=count, timeout=timeout
        )
    except (RuntimeError, ValueError) as error:
        raise Refusal(
            "the processes of this run have not found each other at %s:%s within %g seconds (%s): start all "
            "of them, with the same MASTER_ADDR and MASTER_PORT"
            % (
                os.environ.get("MASTER_ADDR", "(no MASTER_ADDR)"),
                os.environ.get("MASTER_PORT", "(no MASTER_PORT)"),
                seconds,
                _first_line(error),
            )
        ) from error


def timeout_seconds():
    """What ENCORE_PROCESS_TIMEOUT says; Refusal where that is no number of seconds above 0."""
    text = os.environ.get(TIMEOUT, "")
    try:
        seconds = float(text or DEFAULT_TIMEOUT)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e7:
        raise Refusal("%s: expected seconds above 0, found %r: correct it" % (TIMEOUT, text))
    return seconds


def _number(variable, default):
    text = os.environ.get(variable, str(default))
    if not text.isdecimal():
        raise Refusal("%s: expected a number, found %r: correct what the launcher sets" % (variable, text))
    return int(text)


def _first_line(error):
    """What an error says, its first sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].split(". ")[0]
