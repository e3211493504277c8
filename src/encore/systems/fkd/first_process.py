"""What only the first process of a run does, for all of them: batches, files, records."""

from __future__ import annotations

import torch

from encore.runtime.parameters import read_parameters
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage
from encore.systems.fkd.sections import SYSTEM
from encore.training.distributed import others_reached
from encore.training.replay_step import is_first

LAUNCHER = "--nproc_per_node of torchrun"
"""What says how many processes there are; the published code has no such value."""


def done_by_first(processes, device, action):
    """What `action()` returns on the first process (anything that can be pickled), on every one; so is its
    Refusal raised."""
    if processes.count == 1:
        return action()
    said = [None, None]
    if processes.is_first:
        try:
            said[0] = action()
        except Refusal as refusal:
            said[1] = str(refusal)
    found, refused = _from_first(said, device)
    if refused is not None:
        raise Refusal(refused)
    return found


def batches_of_first(processes, device, made):
    """Iterate on every process over the batches of `made`, an iterator that is used on the first one only.

    A batch is a NamedTuple with uint8 `pixels`, which come on `device`. Raises the Refusal of `made` on every
    process.
    """
    if processes.count == 1:
        yield from made
        return
    kept = []

    def next_one():
        batch = next(made, None)
        if batch is None:
            return None
        kept.append(batch.pixels)
        return batch._replace(pixels=None), tuple(batch.pixels.shape)

    while True:
        found = done_by_first(processes, device, next_one)
        if found is None:
            return
        light, shape = found
        pixels = kept.pop() if kept else torch.empty(shape, dtype=torch.uint8)
        yield light._replace(pixels=processes.broadcast(pixels.to(device).contiguous(), 0))


class FurtherStage:
    """Stands for the Stage in the further processes of a run: reads parameters and keeps no records."""

    def __init__(self, name):
        self.name, self.recorded, self.seed = name, {}, 0

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        return False

    def parameters(self, path, cls):
        """This stage's own section of the parameter file, checked."""
        return read_parameters(path, "%s.%s" % (SYSTEM, self.name), cls)


def stage_of_process(name, item="", seed=0):
    """The Stage of this run in its first process, a FurtherStage in the others."""
    return Stage(SYSTEM, name, item, seed) if is_first() else FurtherStage(name)


def _from_first(said, device):
    with others_reached():
        torch.distributed.broadcast_object_list(said, 0, device=device)
    return said
