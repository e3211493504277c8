"""Batches of a re-identification run, each addressed by (epoch, step): the same for any number of workers."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from encore.data.images import RejectedImage, decode_image
from encore.data.loader_processes import made_in_order
from encore.data.view_batches import permutation
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.runtime.shared_memory import loader_bytes
from encore.systems.reid import SYSTEM
from encore.systems.reid.augmentation import Augmentation, Draws
from encore.systems.reid.identity_batches import identity_batches
from encore.systems.reid.replica_shares import WHOLE, ReplicaShares

SMALLEST_SIDE = 32
"""Input pixels for each row and column of state S's last feature map."""


class TrainingBatches(Dataset):
    """Item (epoch, step) -> (images float32 (b, 3, h, w), normalised, and labels int64 (b,)).

    pictures: TrainingPictures. params: ReidParams; its `pk` says whether a batch is P identities of K
    pictures, each epoch one pass of `identity_batches`, or `batch` pictures of a permutation of all, the last
    one with the rest (published). `len` is the number of batches of an epoch. Orders come from the address
    (seed, "reid", "order", epoch), the draws of a picture from (seed, "reid", "transform", epoch, step, row).
    A picture that cannot be read is a Refusal with its name. Pictures before all draws are kept in memory up
    to encore.keep_bytes, in this process alone: loader processes, which end with an epoch, keep none. shares:
    the ReplicaShares of this process: `images` are its own rows alone, `labels` those of the whole batch.
    """

    def __init__(self, pictures, params, shares=WHOLE):
        self.pictures, self.params, self._shares = pictures, params, shares
        self.augmentation = Augmentation(params)
        self._seed = params.encore.seed
        self._order = (None, None)
        self._kept, self._room = {}, params.encore.keep_bytes
        self._length = len(self._rows(0)) if params.pk else -(-len(pictures) // params.batch)
        self.check(1)

    def check(self, replicas):
        """Refusal where one of `replicas` GPUs, which share a batch, would get a single picture and BatchNorm
        two at least."""
        if not self._needs_two():
            return
        for what, size in self._sizes():
            if 1 in ReplicaShares(replicas).sizes(size):
                raise Refusal(
                    "batch_sampling_params: {} would hold {} of the {} pictures on {} GPU(s), one of them "
                    "alone, and BatchNorm needs two: change {} (now {} in all)".format(
                        what,
                        size,
                        len(self.pictures),
                        replicas,
                        "P or K" if self.params.pk else "batch_size",
                        self.params.batch,
                    )
                )

    def _needs_two(self):
        """Whether a BatchNorm layer sees one number a channel of a picture: H's heads, and in S a last
        feature map of one pixel."""
        sides = (self.augmentation.height, self.augmentation.width)
        return self.params.state == "H" or max(sides) <= SMALLEST_SIDE

    def _sizes(self):
        """(in words, number of pictures) of the batches that a run makes."""
        rest = 0 if self.params.pk else len(self.pictures) % self.params.batch
        if not rest or self._length > 1:
            yield "a batch", self.params.batch
        most = self.params.encore.max_iterations
        if rest and (most is None or most >= self._length):
            yield "the last batch of an epoch", rest

    def __len__(self):
        return self._length

    def numbers(self, epoch, step):
        """Numbers of the batch's pictures, int64 (b,)."""
        return np.asarray(self._rows(epoch)[step], np.int64)

    def _rows(self, epoch):
        if self._order[0] != epoch:
            self._order = epoch, self._drawn(epoch)
        return self._order[1]

    def _drawn(self, epoch):
        if not self.params.pk:
            order = permutation(self._seed, SYSTEM, epoch, len(self.pictures))
            return [
                order[start : start + self.params.batch] for start in range(0, len(order), self.params.batch)
            ]
        chosen = self.params.batch_sampling_params
        draws = np.random.RandomState(derive_seed(self._seed, SYSTEM, "order", epoch) % 2**32)
        return identity_batches(self.pictures.labels, chosen.P, chosen.K, draws)

    def __getitem__(self, address):
        epoch, step = address
        numbers = self.numbers(epoch, step)
        own = [self._picture(epoch, step, row, int(numbers[row])) for row in self._shares.rows(len(numbers))]
        labels = torch.from_numpy(self.pictures.labels[numbers])
        if not own:
            return torch.empty(0, 3, self.augmentation.height, self.augmentation.width), labels
        return self.augmentation.normalised(torch.stack(own)), labels

    def names(self, epoch, step):
        """Names of the batch's pictures."""
        return [self.pictures.names[number] for number in self.numbers(epoch, step)]

    def _picture(self, epoch, step, row, number):
        draws = Draws.seeded(derive_seed(self._seed, SYSTEM, "transform", epoch, step, row))
        return self.augmentation.augmented(self._resized(number), draws)

    def _resized(self, number):
        """Picture `number` before all draws, from memory where it is kept."""
        if number in self._kept:
            return self._kept[number]
        try:
            image = decode_image(self.pictures.read(number)).convert("RGB")
        except RejectedImage as rejected:
            raise Refusal(
                "{}: training picture {} cannot be read ({}): put it back or take it out".format(
                    self.pictures.spec, self.pictures.names[number], rejected.reason
                )
            ) from rejected
        pixels = self.augmentation.resized(image)
        if pixels.nbytes <= self._room and get_worker_info() is None:
            self._kept[number] = pixels
            self._room -= pixels.nbytes
        return pixels

    def load(self, epoch, first_step=0, workers=0):
        """Iterate over the batches of `epoch` from `first_step` on, made by `workers` processes (0: this
        one), which end with this one."""
        addresses = [(epoch, step) for step in range(first_step, len(self))]
        return made_in_order(self.__getitem__, addresses, workers)

    def shared_memory(self, workers):
        """Bytes of /dev/shm that `load` needs."""
        return loader_bytes(
            workers, self.params.batch * 3 * self.augmentation.height * self.augmentation.width * 4
        )
