"""Batches of labelled pictures, each picture cropped and flipped by its own address, and subsets of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.utils.data import get_worker_info

from encore.data.augment.resample import resize
from encore.data.view_batches import permutation
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.systems.fkd.addressed_batches import BatchFlow, BatchKeys, Deliverable, read_image
from encore.systems.fkd.crops import CropBox, cropped, draw_crop, draw_flip
from encore.systems.fkd.sections import SYSTEM


class LabelledBatch(NamedTuple):
    """The pictures of one update."""

    pixels: torch.Tensor
    """uint8 (b, 3, size, size): cropped and flipped, neither normalised nor mixed yet."""
    targets: torch.Tensor
    """int64 (b,): classes."""


class ShuffledOrder:
    """The order of `count` pictures in each epoch, cut into batches; the last one of an epoch may be short.

    The draw belongs to the address (seed, "fkd", "order", epoch); published: the process's generator.
    """

    def __init__(self, count, batch, seed):
        self.count, self.batch, self.seed = count, batch, seed
        self._kept = None, None

    @property
    def batches(self):
        """Batches of an epoch."""
        return -(-self.count // self.batch)

    def order(self, epoch):
        """Numbers of the pictures: int64 (count,)."""
        if self._kept[0] != epoch:
            self._kept = epoch, permutation(self.seed, SYSTEM, epoch, self.count)
        return self._kept[1]

    def indices(self, epoch, number):
        """Those of one batch: int64 (b,)."""
        return self.order(epoch)[number * self.batch : (number + 1) * self.batch]


class LabelledBatches(Deliverable):
    """The batches of a training run: item (epoch, number, indices) -> LabelledBatch.

    images: ClassFolders. recipe: ClassifierRecipe. A batch here has the pictures of a whole update. Crop and
    flip of a picture belong to the address (seed, "fkd", "view", epoch, picture), so neither the process that
    makes it nor the batch it is in plays a part. Raises Refusal without pictures.
    """

    def __init__(self, images, recipe):
        self.images, self.recipe = images, recipe
        self.order = ShuffledOrder(len(images), recipe.update, recipe.seed)
        self._flow = None

    def __getstate__(self):  # for processes that start afresh: they make batches, they start no processes
        return dict(self.__dict__, _flow=None)

    @property
    def batches(self):
        """Updates of an epoch."""
        return self.order.batches

    def made(self, epoch, number, indices):
        size = self.recipe.size
        pixels = torch.empty((len(indices), 3, size, size), dtype=torch.uint8)
        if get_worker_info() is not None:
            pixels.share_memory_()  # from the start: handing the batch over copies nothing
        out = pixels.numpy()
        for row, index in enumerate(indices):
            address = derive_seed(self.recipe.seed, SYSTEM, "view", epoch, int(index))
            draw_view(
                read_image(self.images, int(index)),
                self.recipe.augmentation,
                size,
                torch.Generator().manual_seed(address),
                out[row],
            )
        return LabelledBatch(pixels, torch.from_numpy(self.images.labels[indices].astype(np.int64)))

    def loader(self, epoch, first, workers):
        """Iterate over the LabelledBatch of an epoch, from number `first` on; processes stay for the next
        epoch. Raises Refusal for a picture that cannot be read."""
        if self._flow is None or self._flow.position != (epoch, first):
            self.close()
            keys = BatchKeys(self.order, epoch, first, self.recipe.epochs)
            self._flow = BatchFlow(self, keys, None, workers)
        for _ in range(first, self.batches):
            yield self._flow.next()

    def pictures(self, epoch, number):
        """Names of the pictures of update `number` of an epoch; their crops and flips belong to it."""
        return [self.images.name(int(index)) for index in self.order.indices(epoch, number)]

    def close(self):
        """End the loader processes that are still there."""
        self._flow = None


def draw_view(image, augmentation, size, generator, out):
    """Crop and flip a PIL RGB image as an Augmentation says into `out`, uint8 (3, size, size).

    The draws and their order are torchvision's: those of the crop (resized: see `draw_crop`; padded: top,
    then left), then one for the flip.
    """
    if augmentation.crop == "resized":
        scale = augmentation.min_scale, augmentation.max_scale
        box = draw_crop(image.height, image.width, scale, generator)
    else:
        image = _bordered(image, size, augmentation.pad)
        top, left = (
            int(torch.randint(0, 2 * augmentation.pad + 1, (1,), generator=generator)) for _ in range(2)
        )
        box = CropBox(top, left, size, size)
    cropped(image, box, draw_flip(generator, augmentation.flip), size, out)


def _bordered(image, size, pad):
    if image.size != (size, size):
        image = resize(image, (size, size), Image.BILINEAR)
    bordered = Image.new("RGB", (size + 2 * pad, size + 2 * pad))
    bordered.paste(image, (pad, pad))
    return bordered


def random_per_class(images, count, seed):
    """`count` random pictures of every class of `images` (ClassFolders), in its order.

    Those of a class belong to the address (seed, "fkd", "subset", class name); fewer pictures are a part of
    more. Raises Refusal for a class that holds fewer.
    """
    rows = []
    for number, name in enumerate(images.classes):
        places = np.flatnonzero(images.labels == number)
        if len(places) < count:
            raise Refusal(
                "%s: the class %s holds %d pictures, %d a class were asked for: ask for fewer"
                % (images.spec, name, len(places), count)
            )
        draws = np.random.RandomState(derive_seed(seed, SYSTEM, "subset", name) % 2**32)
        rows.append(np.sort(draws.permutation(places)[:count]))
    return images.subset(np.concatenate(rows))
