"""Batches of relabelled pictures: each with the crops, flips, mixing and logits of its own label entry.

Published: PyTorch's own batch fetcher is edited on disk so that it loads a batch's label file before the
pictures. Here a batch is asked for by its address, so nothing is edited, any way of starting loader processes
works, and processes live on from epoch to epoch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from encore.data.training_transform import IMAGENET_MEAN, IMAGENET_STD, normalised
from encore.runtime.refusal import Refusal
from encore.systems.fkd.addressed_batches import (
    PREFETCHED,
    BatchFlow,
    BatchKeys,
    Deliverable,
    cropped_pixels,
)
from encore.systems.fkd.batch_order import SAMPLER_SEED, BatchOrder
from encore.systems.fkd.crops import restored
from encore.systems.fkd.mixing import MixDraw, mixed_up

BLOCK = 4
"""Pictures that the CPU normalises at a time: they stay in its cache."""


class DistilledBatch(NamedTuple):
    """One batch as a training step takes it."""

    epoch: int
    number: int
    indices: torch.Tensor
    """int64 (b,): numbers of the pictures."""
    pixels: torch.Tensor
    """uint8 (b, 3, size, size): cropped and flipped, neither normalised nor mixed yet."""
    targets: torch.Tensor
    """int64 (b,): classes of the pictures."""
    mix: MixDraw
    logits: torch.Tensor
    """float16 or float32 (b, classes): the teacher's, of the mixed pictures."""


class DistilledBatches:
    """The batches of a training run on `labels`, in order.

    images: ClassFolders. labels: what `labels.open_labels` returns. size: side of the crops in pixels.
    seed: of the sampler (default: the labels', else the published 42). mean, deviation: of the channels
    (default: the labels', else ImageNet's). epochs: how many of the labels' epochs the run takes (default:
    all); processes make no batch beyond them. Call `labels.check` first: here only what a single batch shows
    is refused.
    """

    def __init__(self, images, labels, size, seed=None, mean=None, deviation=None, epochs=None):
        self.mean = tuple(mean or labels.mean or IMAGENET_MEAN)
        self.deviation = tuple(deviation or labels.deviation or IMAGENET_STD)
        self.epochs = labels.epochs if epochs is None else epochs
        if seed is None:
            seed = SAMPLER_SEED if labels.seed is None else labels.seed
        self.order = BatchOrder(len(images), labels.batch, seed)
        self._made = _MadeBatches(images, labels, size)
        self._flow = None

    @property
    def batches(self):
        """Batches of an epoch."""
        return self.order.batches

    def loader(self, epoch, first=0, workers=0, persistent=True, start_method="fork", prefetch=PREFETCHED):
        """Iterate over the DistilledBatch of an epoch, from number `first` on.

        workers: processes, each of which makes whole batches (0: this one). start_method: "fork" or
        "spawn". persistent: the processes stay, and go on with the next epoch
        while this one's end is worked on; asking for another batch than the next one starts new ones.
        The batches are the same in every case. Raises Refusal for a picture that cannot be read, and for a
        label entry that does not fit its pictures.
        """
        settings = (workers, start_method, prefetch) if persistent else None
        flow = self._flow
        if flow is None or settings is None or (flow.settings, flow.position) != (settings, (epoch, first)):
            self.close()
            keys = BatchKeys(self.order, epoch, first, self.epochs if persistent else epoch + 1)
            flow = self._flow = BatchFlow(self._made, keys, settings, workers, start_method, prefetch)
        for _ in range(first, self.batches):
            yield flow.next()

    def pictures(self, epoch, number):
        """Names of the pictures of batch `number` of an epoch; their crops, flips and mixing are what the
        labels of this batch say."""
        return [self._made.images.name(int(index)) for index in self.order.indices(epoch, number)]

    def close(self):
        """End the loader processes that are still there."""
        self._flow = None

    def inputs(self, batch, rows=slice(None)):
        """What the network is shown of a DistilledBatch: float32 (rows, 3, size, size), on the device of
        batch.pixels, equal to the teacher's input bit for bit. See `mixed_inputs`."""
        return mixed_inputs(batch.pixels, batch.mix, self.mean, self.deviation, rows)


def mixed_inputs(pixels, mix, mean=IMAGENET_MEAN, deviation=IMAGENET_STD, rows=slice(None)):
    """Normalise and mix the pictures `rows` of a whole batch: uint8 (b, 3, h, w) -> float32 (n, 3, h, w).

    Only these rows are ever held as floats. They equal the same rows of the batch normalised and mixed whole
    (torchvision's ToTensor and Normalize, then the published mixing) bit for bit.
    """
    numbers = torch.arange(len(pixels), device=pixels.device)[rows]
    result = torch.empty((len(numbers),) + pixels.shape[1:], device=pixels.device)
    block = BLOCK if pixels.device.type == "cpu" else max(len(numbers), 1)
    others = None if mix.order is None else mix.order.to(pixels.device)[numbers]
    for start in range(0, len(numbers), block):
        part = slice(start, start + block)
        own = pixels[numbers[part]]
        if mix.kind == "cutmix":
            top, left, bottom, right = mix.box
            own[:, :, top:bottom, left:right] = pixels[:, :, top:bottom, left:right][others[part]]
        own = normalised(own, mean, deviation)
        if mix.kind == "mixup":
            own = mixed_up(own, normalised(pixels[others[part]], mean, deviation), mix.share)
        result[part] = own
    return result


class _MadeBatches(Deliverable):
    """Item (epoch, number, indices) -> DistilledBatch."""

    def __init__(self, images, labels, size):
        self.images, self.labels, self.size = images, labels, size

    def made(self, epoch, number, indices):
        where = "labels of epoch %d, batch %d" % (epoch, number)
        label = self.labels.load(epoch, number)
        _check_fit(label, indices, where)
        coords, flips = np.asarray(label.coords), np.asarray(label.flips)

        def view(row, height, width):
            try:
                return restored(coords[row], height, width), flips[row]
            except ValueError as error:
                name = self.images.name(int(indices[row]))
                raise Refusal(
                    "%s, row %d: %s (%s): the labels were made for other pictures" % (where, row, error, name)
                ) from None

        pixels = cropped_pixels(self.images, indices, view, self.size)
        targets = torch.from_numpy(self.images.labels[indices])
        indices = torch.from_numpy(indices)
        return DistilledBatch(epoch, number, indices, pixels, targets, label.mix, label.logits)


def _check_fit(label, indices, where):
    rows = len(indices)
    if any(len(part) != rows for part in (label.coords, label.flips, label.logits)):
        raise Refusal(
            "%s: expected %d pictures, found labels of %d: use the batch size and the pictures that the "
            "labels were made with" % (where, rows, len(label.coords))
        )
    if label.indices is not None and not np.array_equal(np.asarray(label.indices), indices):
        raise Refusal("%s: stored for pictures in another order: use their seed and picture folder" % where)
    order = label.mix.order
    if order is not None and (len(order) != rows or not bool(((order >= 0) & (order < rows)).all())):
        raise Refusal("%s: the mixing names pictures beyond the batch: the labels are damaged" % where)
