"""Items made in loader processes, in order, a refusal of theirs raised here as it is."""

from __future__ import annotations

import os

import torch
from torch.utils.data import DataLoader, Dataset

from encore.runtime.refusal import Refusal
from encore.runtime.shard_map import end_with_parent


def made_in_order(make, keys, workers):
    """Iterate over make(key) for each of `keys`, in their order.

    workers: processes that make whole items (0: this one); they end with it. make: does not draw from a
    global generator, and its items hold tensors; a Refusal of its own is raised here as it is.
    """
    loader = DataLoader(
        _Items(make),
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=EndWithParent(),
        generator=torch.Generator(),  # or starting would draw from the global one
    )
    for item in loader:
        if isinstance(item, str):
            raise Refusal(item)
        yield item


class _Items(Dataset):
    """Item key -> what is made of it, or the text of a Refusal: a loader would wrap the exception in a
    process's traceback."""

    def __init__(self, make):
        self.make = make

    def __getitem__(self, key):
        try:
            return self.make(key)
        except Refusal as refusal:
            return str(refusal)


class EndWithParent:
    """Called in a loader process: lets it end with the one that made this object.

    A killed run's loaders would hold its lock for some seconds more, against the run started again.
    """

    def __init__(self):
        self._parent = os.getpid()

    def __call__(self, _):
        end_with_parent(self._parent)


def _as_it_is(item):
    return item
