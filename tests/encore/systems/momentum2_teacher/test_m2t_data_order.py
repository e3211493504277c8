"""Images of each step against torch's own DistributedSampler, and the batches of views."""

import functools
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler

from encore.data.images import decode_image
from encore.data.two_views import Momentum2View
from encore.data.view_batches import permutation
from encore.runtime.seeds import derive_seed
from encore.systems import barlow_twins
from encore.systems.momentum2_teacher.data_order import iterations_per_epoch, rows, view_batches
from encore.systems.momentum2_teacher.recipe import SYSTEM
from tests.encore.in_memory_set import InMemorySet
from tests.encore.systems.momentum2_teacher.tiny_m2t_run import RECIPE


class Ordered(DistributedSampler):
    """torch's sampler with our permutation in the place of its own."""

    def __iter__(self):
        whole = permutation(4, SYSTEM, self.epoch, len(self.dataset)).tolist()
        whole += whole[: self.total_size - len(whole)]
        return iter(whole[self.rank : self.total_size : self.num_replicas])


@pytest.mark.parametrize("images, batch, replicas", [(50, 16, 4), (64, 16, 8), (17, 6, 3), (16, 16, 1)])
def test_each_replica_gets_what_its_process_got(images, batch, replicas):
    share = batch // replicas
    for epoch in (0, 3):
        loaders = []
        for rank in range(replicas):
            sampler = Ordered(range(images), replicas, rank)
            sampler.set_epoch(epoch)
            loaders.append(DataLoader(range(images), share, sampler=sampler, drop_last=True))
        steps = [torch.cat(parts).tolist() for parts in zip(*loaders)]
        assert len(steps) == iterations_per_epoch(images, batch, replicas)
        for step, expected in enumerate(steps):
            assert rows(4, images, batch, replicas, epoch, step).tolist() == expected
    assert (rows(4, images, batch, replicas, 0, 0) != rows(4, images, batch, replicas, 1, 0)).any()


def test_a_batch_is_addressed_and_comes_the_same_from_any_process():
    source = InMemorySet(10, 4, 40)
    batches = view_batches(source, RECIPE)
    first, second = batches[(2, 3)]
    assert first.dtype == torch.uint8 and first.shape == second.shape == (8, 3, 24, 24)
    for row, item in enumerate(rows(RECIPE.seed, 40, 8, 2, 2, 3)):
        image = decode_image(source.read(int(item))).convert("RGB")
        for number, (found, view) in enumerate(
            zip((first, second), (Momentum2View(24), Momentum2View(24, blur=0.1, solarise=0.2)))
        ):
            picture = view(image, derive_seed(RECIPE.seed, SYSTEM, "view", 2, 3, row, number))
            assert np.array_equal(found[row].numpy(), np.asarray(picture).transpose(2, 0, 1))
    (loaded,) = list(batches.batches(2, 4, 2))
    assert all(torch.equal(mine, value) for mine, value in zip(batches[(2, 4)], loaded))


def test_the_batches_of_barlow_twins_are_what_they_were():
    recipe = barlow_twins.PretrainingRecipe(seed=3, size=24, batch=8, workers=0)
    source = InMemorySet(10, 4, 40)
    found = barlow_twins.two_views(source, recipe)[(1, 2)]
    address = functools.partial(derive_seed, 3, "barlow_twins")
    order = np.random.RandomState(address("order", 1) % 2**32).permutation(40)[16:24]
    for row, item in enumerate(order):
        image = decode_image(source.read(int(item))).convert("RGB")
        for number, view in enumerate(barlow_twins.published_views(24)):
            picture = view(image, random.Random(address("view", 1, 2, row, number)))
            assert np.array_equal(found[number][row].numpy(), np.asarray(picture).transpose(2, 0, 1))
