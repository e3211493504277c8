"""Batches of the views of classes, each view addressed by its seed (spec drip 2, 5.3 and 5.4)."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, Optional

import numpy as np
import torch

from encore.data.loader_processes import made_in_order
from encore.data.view_batches import permutation
from encore.runtime.seeds import derive_seed
from encore.runtime.shared_memory import loader_bytes
from encore.systems.drip.clean_view import IMAGENET_DEVIATION, IMAGENET_MEAN
from encore.systems.drip.stacked_views import stacked

SYSTEM = "drip"


class ViewBatch(NamedTuple):
    """Some classes and their views."""

    classes: torch.Tensor
    """int64 (b,): of the whole batch, also where only some of its rows have views here."""
    clean: Optional[torch.Tensor]
    """uint8 (rows, 3, size, size), or None where they were not asked for; after `on`, float32."""
    augmented: Optional[torch.Tensor]
    """The same of the augmented views."""
    raised: dict
    """Step -> how often it raised while these augmented views were made."""
    normalisation: str

    def on(self, device):
        """This batch on `device`, its views normalised there: float32, in the bits of ClassViews."""
        clean, augmented = (
            None if pixels is None else normalised_pixels(pixels.to(device), self.normalisation)
            for pixels in (self.clean, self.augmented)
        )
        return self._replace(classes=self.classes.to(device), clean=clean, augmented=augmented)


def normalised_pixels(pixels, mode):
    """`clean_view.normalised` of views in a row: uint8 (n, 3, h, w) on any device -> float32 of that shape,
    in the same bits."""

    def number(values):  # on the device: CUDA multiplies by the reciprocal of a number that is not
        return torch.from_numpy(np.array(values, dtype=np.float32)).view(1, -1, 1, 1).to(pixels.device)

    values = pixels.float()
    if mode == "imagenet":
        inverse = np.reciprocal(np.array(IMAGENET_DEVIATION, dtype=np.float32))
        return values.sub_(number(IMAGENET_MEAN)).mul_(number(inverse))
    if mode == "simple":
        return values.div_(number([255]))
    if mode == "centered":
        return values.div_(number([127.5])).sub_(number([1]))
    raise ValueError("no such normalisation: {!r}".format(mode))


class ViewBatches:
    """The batches of `batch` classes of ClassViews; the last one of a pass holds the rest.

    Orders and views depend on `seed` and their address alone: not on the batch, the loader processes or what
    was made before. workers: processes that make whole batches (0: this one); they end with it.
    """

    def __init__(self, views, seed, batch):
        self.views, self.seed, self.batch = views, seed, batch
        self.steps = -(-len(views) // batch)
        """Batches of an epoch."""

    def training(self, epoch, first_step=0, workers=0, rows=slice(None), clean=False):
        """Iterate over the ViewBatches of an epoch from `first_step` on: every class once, in an order of the
        epoch.

        rows: the slice of each batch whose views this process of several makes. clean: clean views too
        (published: not in training).
        """
        order = permutation(self.seed, SYSTEM, epoch, len(self.views))
        parts = self._parts(order)[first_step:]
        return self._made([_Key("training", epoch, part, clean, True) for part in parts], workers, rows)

    def pictures(self, epoch, step):
        """What the training's batch at a step of an epoch is made of: a list of "<picture>, view seed
        <number>" in the order of its rows."""
        classes = self._parts(permutation(self.seed, SYSTEM, epoch, len(self.views)))[step].tolist()
        names = self.views.samples.classes
        seeds = [view_seed(self.seed, "training", epoch, class_) for class_ in classes]
        return ["%s, view seed %d" % (names[class_], seed) for class_, seed in zip(classes, seeds)]

    def validation(self, epoch, share=0.05, workers=0, rows=slice(None)):
        """Iterate over the ViewBatches that validate after an epoch, with both views: `validation_steps` of
        an order and of draws of their own. Published quirk: of the training pictures."""
        order = permutation(derive_seed(self.seed, SYSTEM, "validation"), SYSTEM, epoch, len(self.views))
        parts = self._parts(order)[: self.validation_steps(share)]
        return self._made([_Key("validation", epoch, part, True, True) for part in parts], workers, rows)

    def validation_steps(self, share=0.05):
        """Batches of a validation: the published int(share * steps), but 1 at least."""
        return max(int(share * self.steps), 1)

    def in_order(self, ranges, workers=0):
        """Iterate over one ViewBatch for each of `ranges`, (pass, first class, class after the last one).

        Pass 0 has clean views, others augmented ones, of draws of their own.
        """
        keys = (
            _Key("centroids", number, np.arange(first, last), number == 0, number > 0)
            for number, first, last in ranges
        )
        return self._made(keys, workers)

    def shared_memory(self, workers, views=1, batch=None):
        """Bytes of shared memory for batches of so many views of each of `batch` classes (default: ours)."""
        return loader_bytes(workers, (batch or self.batch) * views * 3 * self.views.size**2)

    def _parts(self, order):
        return [order[first : first + self.batch] for first in range(0, len(order), self.batch)]

    def _made(self, keys, workers, rows=slice(None)):
        return made_in_order(_Making(self.views, self.seed, rows), keys, workers)


def view_seed(seed, what, number, class_):
    """The seed of a class's augmented view in epoch or pass `number`; what: training, validation or
    centroids."""
    return derive_seed(seed, SYSTEM, "view", what, number, class_)


class _Key(NamedTuple):
    """What decides on a batch: its classes, int64 (b,), and the first parts of its views' seeds."""

    what: str
    number: int
    """Epoch or pass."""
    classes: np.ndarray
    clean: bool
    """Whether clean views are wanted."""
    augmented: bool


class _Making:
    """_Key -> ViewBatch with the views of `rows`."""

    def __init__(self, views, seed, rows):
        self.views, self.seed, self.rows = views, seed, rows

    def __call__(self, key):
        own, raised = key.classes[self.rows].tolist(), Counter()

        def augmented(class_):
            seed = view_seed(self.seed, key.what, key.number, class_)
            pixels, names = self.views.augmented_pixels(class_, seed)
            raised.update(names)
            return pixels

        clean_views = self._stacked(self.views.clean_pixels, own) if key.clean else None
        augmented_views = self._stacked(augmented, own) if key.augmented else None
        classes = torch.from_numpy(key.classes.astype(np.int64))
        return ViewBatch(classes, clean_views, augmented_views, dict(raised), self.views.normalisation)

    def _stacked(self, view, classes):
        return stacked(map(view, classes), len(classes), self.views.size)
