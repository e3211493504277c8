"""Batches asked for by their address, each made whole by one process."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from encore.data.images import RejectedImage, decode_image
from encore.data.loader_processes import as_it_is, loader
from encore.runtime.refusal import Refusal
from encore.systems.fkd.crops import cropped

PREFETCHED = 2
"""Batches that a loader process makes ahead."""


class Deliverable(Dataset):
    """Item `key` -> what `made(*key)` returns, or the text of its Refusal: a loader would wrap the exception
    in a process's traceback."""

    def __getitem__(self, key):
        try:
            return self.made(*key)
        except Refusal as refusal:
            return str(refusal)


class BatchKeys:
    """Addresses of the batches from (epoch, first) to the end of epoch `end` - 1, each with its pictures."""

    def __init__(self, order, epoch, first, end):
        self.order, self.epoch, self.first, self.end = order, epoch, first, end

    def __iter__(self):
        first = self.first
        for epoch in range(self.epoch, self.end):
            for number in range(first, self.order.batches):
                yield epoch, number, np.asarray(self.order.indices(epoch, number))
            first = 0

    def __len__(self):
        return max(self.end - self.epoch, 0) * self.order.batches - self.first


class BatchFlow:
    """The items of a Deliverable in the order of `keys`, from one set of processes.

    settings: what this flow was made with, for those who want to know whether it still fits.
    """

    def __init__(self, made, keys, settings, workers, start_method="fork", prefetch=PREFETCHED):
        self.settings, self.position = settings, (keys.epoch, keys.first)
        self._batches = keys.order.batches
        self._iterator = iter(
            loader(
                made,
                keys,
                workers,
                start_method,
                collate_fn=as_it_is,
                generator=torch.Generator(),  # or starting would draw from the global one
                **({"prefetch_factor": prefetch} if workers else {}),
            )
        )

    def next(self):
        """The next item; raises Refusal, and StopIteration after the last one."""
        epoch, number = self.position
        made = next(self._iterator)
        if isinstance(made, str):
            raise Refusal(made)
        number += 1
        self.position = (epoch + number // self._batches, number % self._batches)
        return made


def cropped_pixels(images, indices, view, size):
    """Read, crop, resize and flip the pictures `indices` of ClassFolders: uint8 (b, 3, size, size).

    view: (row, height, width of the picture) -> (CropBox, whether to flip). In a loader process the result
    lies in shared memory from the start, so that handing it over copies nothing. Raises Refusal naming a
    picture that cannot be read.
    """
    pixels = torch.empty((len(indices), 3, size, size), dtype=torch.uint8)
    if get_worker_info() is not None:
        pixels.share_memory_()
    out = pixels.numpy()
    for row, index in enumerate(indices):
        image = read_image(images, int(index))
        box, flip = view(row, image.height, image.width)
        cropped(image, box, flip, size, out[row])
    return pixels


def read_image(images, index):
    """Picture number `index` of ClassFolders as a PIL RGB image; raises Refusal naming it."""
    try:
        image = decode_image(images.read(index))
    except RejectedImage as rejected:
        raise Refusal(
            "%s: picture %s cannot be read (%s): put it back, or make it again"
            % (images.spec, images.name(index), rejected.reason)
        ) from rejected
    return image if image.mode == "RGB" else image.convert("RGB")
