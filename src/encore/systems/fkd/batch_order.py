"""Which pictures are in which batch of which epoch: the published sampler, replayed."""

from __future__ import annotations

import torch

from encore.runtime.refusal import Refusal

SAMPLER_SEED = 42
"""Published: the default of both scripts, and hard-coded where labels are looked up."""
DRAWS_AN_EPOCH = 2
"""torch's RandomSampler draws a second permutation, and drops it, when a pass over it ends."""


class BatchOrder:
    """The order of `count` pictures in batches of `batch`, the last one shorter, from any epoch on.

    Published: one generator, seeded once and carried from epoch to epoch, draws a permutation of all pictures
    at the start of a pass and another at its end, so that epoch e has permutation number 2 e; a batch is a
    slice of it. Of the orders only the last one asked for is held. Epochs in ascending order cost two
    permutations each; an earlier one starts the generator again. Can be pickled.
    """

    def __init__(self, count, batch, seed=SAMPLER_SEED):
        if count < 1 or batch < 1:
            raise Refusal("batches of {} of {} pictures: expected 1 or more of both".format(batch, count))
        self.count, self.batch, self.seed = int(count), int(batch), int(seed)
        self.batches = -(-self.count // self.batch)
        """Batches of an epoch."""
        self._forget()

    def rows(self, number):
        """(first, end): the positions of batch `number` in the order of an epoch."""
        return number * self.batch, min(self.count, (number + 1) * self.batch)

    def order(self, epoch):
        """Pictures of an epoch in their order: int64 tensor (count,); not to be written to."""
        if epoch < 0:
            raise ValueError("epoch {}: expected 0 or more".format(epoch))
        if self._held is None or self._held[0] != epoch:
            self._held = epoch, self._draw(DRAWS_AN_EPOCH * epoch)
        return self._held[1]

    def indices(self, epoch, number):
        """Pictures of batch `number` of an epoch: int64 tensor (rows,); not to be written to."""
        if not 0 <= number < self.batches:
            raise ValueError("batch {}: expected 0 to {}".format(number, self.batches - 1))
        first, end = self.rows(number)
        return self.order(epoch)[first:end]

    def _draw(self, number):
        if self._generator is None or self._drawn > number:
            self._generator, self._drawn = torch.Generator().manual_seed(self.seed), 0
        for _ in range(self._drawn, number + 1):
            drawn = torch.randperm(self.count, generator=self._generator)
        self._drawn = number + 1
        return drawn

    def _forget(self):
        self._generator, self._drawn, self._held = None, 0, None

    def __getstate__(self):
        return {"count": self.count, "batch": self.batch, "seed": self.seed, "batches": self.batches}

    def __setstate__(self, state):
        vars(self).update(state)
        self._forget()
