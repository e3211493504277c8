"""Batches of two views of each image, addressed by epoch and step."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Dataset

from encore.data.images import RejectedImage, decode_image
from encore.data.loader_processes import loader
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed


class TwoViewBatches(Dataset):
    """Item (epoch, step) -> two uint8 batches (rows, 3, size, size).

    source: `len`, `names`, `read(i)`. views: two functions (PIL RGB image, seed) -> PIL RGB image. rows:
    (epoch, step) -> numbers of the images. iterations: steps of an epoch. own: a slice, the rows of a batch
    that items hold. Each view of each row has the seed of the address (seed, system, "view", epoch, step,
    row, view), row counted in the whole batch, so that the batch does not depend on which process makes it.
    """

    def __init__(self, source, views, rows, iterations, seed, system, own=slice(None)):
        self.source, self.views, self.rows, self.iterations = source, views, rows, iterations
        self.seed, self.system, self.own = seed, system, own

    def __len__(self):
        return self.iterations

    def __getitem__(self, address):
        epoch, step = address
        views = [[], []]
        for row, item in list(enumerate(self.rows(epoch, step)))[self.own]:
            image = self._image(int(item))
            for number, view in enumerate(self.views):
                picture = view(image, derive_seed(self.seed, self.system, "view", epoch, step, row, number))
                views[number].append(np.asarray(picture).transpose(2, 0, 1))
        return [torch.from_numpy(np.stack(pictures)) for pictures in views]

    def names(self, epoch, step):
        """Names of the images of the whole batch, in its order."""
        return [self.source.names[item] for item in self.rows(epoch, step)]

    def _image(self, item):
        try:
            return decode_image(self.source.read(item)).convert("RGB")
        except RejectedImage as rejected:
            raise Refusal(
                "pre-training image %s cannot be read (%s): leave it out"
                % (self.source.names[item], rejected.reason)
            ) from rejected

    def batches(self, epoch, first, workers):
        """Iterate over the batches of an epoch from step `first` on."""
        addresses = [(epoch, step) for step in range(first, self.iterations)]
        return loader(self, addresses, workers)


def permutation(seed, system, epoch, count):
    """The order of `count` images in an epoch: int64 (count,)."""
    order = np.random.RandomState(derive_seed(seed, system, "order", epoch) % 2**32)
    return order.permutation(count)
