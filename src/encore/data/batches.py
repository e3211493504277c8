"""Batches of a training run, each addressed by (epoch, step): the same for any number of workers."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch.utils.data import Dataset

from encore.data.identity_sampler import IdentitySampler, SamplerDraws
from encore.data.images import RejectedImage, decode_image
from encore.data.labels import label_by_first_appearance
from encore.data.loader_processes import loader
from encore.data.training_transform import TrainingTransform, normalised
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed


@dataclass(frozen=True)
class BatchPlan:
    """What a batch is made of."""

    system: str
    """First part of every seed's address."""
    seed: int
    batch: int = 128
    instances: int = 4
    """Images per identity; 0: a plain random permutation of all images."""
    iterations: int = 8000
    """Batches per epoch; 0 or less: as many as the published loader's length."""
    transform: TrainingTransform = field(default_factory=TrainingTransform)
    keep_bytes: int = 0
    """Memory a process for resized images after their first use: a small set is decoded once."""


class Batches(Dataset):
    """Item (epoch, step) -> (images float32 (batch, 3, h, w), labels int64 (batch,)).

    data_set: offers len(), `names` and `read(i) -> bytes`. rows: the slice of each batch to load (a process
    of several loads the images of its own replicas only); the labels are always those of the whole batch. An
    epoch starts a new sampler pass, and so does every exhaustion of one; the incomplete batch at the end of a
    pass is dropped. Draws come from (seed, system, "sampler", epoch, pass) and from (seed, system,
    "transform", epoch, step, position). Unlike the published IterLoader, which silently starts the pass again
    on any exception, an image that cannot be read is a Refusal with its name.
    """

    def __init__(self, data_set, plan: BatchPlan, rows=slice(None)):
        self.data_set = data_set
        self.plan = plan
        self.rows = rows
        self._order = label_by_first_appearance(data_set.names)
        self.classes = self._order.classes
        self._sampler = IdentitySampler(self._order.labels, plan.instances) if plan.instances > 0 else None
        self._pass = (None, None)
        self._kept, self._room = {}, plan.keep_bytes
        self.iterations = plan.iterations if plan.iterations > 0 else self._published_length()
        self.per_pass = len(self._pass_order(0, 0)) // plan.batch
        if self.per_pass == 0:
            raise Refusal(
                "one pass over the training set must fill a batch of %d, found %d images of %d "
                "classes at %d "
                "a class: lower the batch size or add classes"
                % (plan.batch, len(data_set), self.classes, plan.instances)
            )

    def _published_length(self):
        images = len(self._order.labels) if self._sampler is None else len(self._sampler)
        return max(images // self.plan.batch, 1)

    def _pass_order(self, epoch, number):
        if self._pass[0] != (epoch, number):
            draws = SamplerDraws.seeded(
                derive_seed(self.plan.seed, self.plan.system, "sampler", epoch, number)
            )
            if self._sampler is None:
                order = torch.randperm(len(self._order.labels), generator=draws.permutation).numpy()
            else:
                order = self._sampler.order(draws)
            self._pass = ((epoch, number), order)
        return self._pass[1]

    def positions(self, epoch, step):
        """Places of the batch's images in the published (string sorted) order, int64 (batch,)."""
        number, within = divmod(step, self.per_pass)
        start = within * self.plan.batch
        return self._pass_order(epoch, number)[start : start + self.plan.batch]

    def names(self, epoch, step):
        """File names of the batch's images."""
        return [self.data_set.names[self._order.items[position]] for position in self.positions(epoch, step)]

    def __len__(self):
        return self.iterations

    def __getitem__(self, address):
        epoch, step = address
        positions = self.positions(epoch, step)
        rows = range(*self.rows.indices(len(positions)))
        images = torch.stack([self._image(epoch, step, row, positions[row]) for row in rows])
        return normalised(images), torch.from_numpy(self._order.labels[positions])

    def _image(self, epoch, step, row, position):
        item = int(self._order.items[position])
        seed = derive_seed(self.plan.seed, self.plan.system, "transform", epoch, step, row)
        return self.plan.transform.augmented(self._pixels(item), torch.Generator().manual_seed(seed))

    def _pixels(self, item):
        """The resized image number `item`, uint8 (h, w, 3), from memory where it is kept."""
        if item in self._kept:
            return self._kept[item]
        try:
            image = decode_image(self.data_set.read(item)).convert("RGB")
        except RejectedImage as rejected:
            raise Refusal(
                "training image %s cannot be read (%s): generate the set again or leave it out"
                % (self.data_set.names[item], rejected.reason)
            ) from rejected
        pixels = self.plan.transform.resized(image)
        if pixels.nbytes <= self._room:
            self._kept[item] = pixels
            self._room -= pixels.nbytes
        return pixels


class _Delivered(Dataset):
    """Batches whose refusal is handed over as a value: a loader would wrap it in a worker's traceback."""

    def __init__(self, batches):
        self._batches = batches

    def __getitem__(self, address):
        try:
            return self._batches[address]
        except Refusal as refusal:
            return str(refusal)


def load_batches(batches: Batches, epoch, first_step=0, workers=0, pin_memory=False):
    """Iterate over the batches (epoch, first_step), ..., of one epoch, loaded by `workers` processes (0: this
    one).

    The batches do not depend on the number of workers. Raises Refusal naming the image that cannot be read.
    """
    addresses = [(epoch, step) for step in range(first_step, len(batches))]
    for delivered in loader(_Delivered(batches), addresses, workers, pin_memory=pin_memory):
        if isinstance(delivered, str):
            raise Refusal(delivered)
        yield delivered
