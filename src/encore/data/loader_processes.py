"""Items made in loader processes, in order; the processes end with the one that started them."""

from __future__ import annotations

import os

import torch
from torch.utils.data import DataLoader, Dataset

from encore.runtime.refusal import Refusal
from encore.runtime.shard_map import end_with_parent
from encore.runtime.shared_memory import note_process
from encore.runtime.temporary_files import folder_of_run

START_METHODS = "fork", "spawn"
"""Not a fork server's: the processes would be its children, and it would outlive the one that asks."""


def loader(items, keys, workers, start_method="fork", **options):
    """DataLoader of items[key] for each of `keys`, in their order: the only one of stages and systems.

    workers: processes that make whole items (0: this one); they end with it, however it ends: iterate in the
    process that called this, and in a thread that lives as long as it does. start_method: one of
    START_METHODS, else ValueError. options: further ones of the DataLoader. Without a `generator` among them,
    iterating draws once from the global one.
    """
    if start_method not in START_METHODS:
        raise ValueError("start_method: expected fork or spawn, found {}".format(start_method))
    if workers:
        options["multiprocessing_context"] = start_method
    return DataLoader(
        items,
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        worker_init_fn=_EndWithParent(),
        **options,
    )


def made_in_order(make, keys, workers):
    """Iterate over make(key) for each of `keys`, in their order.

    workers: processes that make whole items (0: this one). make: does not draw from a global generator, and
    its items hold tensors; a Refusal of its own is raised here as it is.
    """
    items = loader(
        _Items(make),
        keys,
        workers,
        collate_fn=as_it_is,
        generator=torch.Generator(),  # or starting would draw from the global one
    )
    for item in items:
        if isinstance(item, str):
            raise Refusal(item)
        yield item


def as_it_is(item):
    """`item`: for `loader`, which would make tensors of what an item holds otherwise."""
    return item


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


class _EndWithParent:
    """Called in a loader process, first: lets it end with the one that made this object, and notes it.

    The loaders of a killed run would hold its lock for some seconds more, against the run started again. And
    PyTorch's own look at the parent begins too late: a loader process whose parent was killed just after it
    had forked it lived on for ever, and kept the connections of that parent open, so that those at the other
    end waited for its answer.
    """

    def __init__(self):
        self._parent = os.getpid()

    def __call__(self, _):
        end_with_parent(self._parent)
        folder = folder_of_run()
        if folder is not None:
            note_process(folder)
