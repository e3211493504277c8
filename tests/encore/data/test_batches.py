"""Batches by address: independent of workers and history."""

import pytest
import torch

from encore.data.batches import Batches, BatchPlan, load_batches
from encore.data.training_transform import TrainingTransform
from encore.runtime.refusal import Refusal
from tests.encore.in_memory_set import InMemorySet


def batches(images=None, rows=slice(None), **values):
    plan = dict(
        system="test", seed=3, batch=8, instances=2, iterations=7, transform=TrainingTransform(16, 16)
    )
    plan.update(values)
    return Batches(images or InMemorySet(10, 4, 16), BatchPlan(**plan), rows)


def listed(iterable):
    return [(images, labels) for images, labels in iterable]


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for (images, labels), (images_expected, labels_expected) in zip(found, expected):
        assert torch.equal(images, images_expected) and torch.equal(labels, labels_expected)


def test_any_number_of_workers_gives_the_same_batches():
    expected = listed(load_batches(batches(), 1))
    assert len(expected) == 7
    assert_equal(listed(load_batches(batches(), 1, workers=2)), expected)


def test_an_epoch_can_be_entered_at_any_step():
    expected = listed(load_batches(batches(), 0))
    for first in (1, 4, 6):
        assert_equal(listed(load_batches(batches(), 0, first)), expected[first:])


def test_an_epoch_runs_through_passes_and_drops_incomplete_batches():
    # 10 classes x 2 = 20 images a pass, 2 batches of 8, so that 7 steps need passes 0, 0, 1, 1, 2, 2, 3
    source = batches()
    assert source.per_pass == 2
    passes = [source.names(0, step) for step in range(7)]
    for first in (0, 2, 4):
        labels = [name.split("_")[0] for step in (first, first + 1) for name in passes[step]]
        assert len(set(labels)) == 8  # 16 images of 8 classes: none comes twice within a pass
    assert passes[0] != passes[2] != passes[4]
    assert batches().names(1, 0) != passes[0]


def test_a_process_loads_its_own_rows_with_all_labels():
    images, labels = batches()[(2, 3)]
    own, all_labels = batches(rows=slice(4, 8))[(2, 3)]
    assert torch.equal(own, images[4:]) and torch.equal(all_labels, labels)


def test_zero_iterations_mean_the_published_length():
    assert len(batches(iterations=0)) == 2  # 20 // 8
    assert len(batches(iterations=0, instances=0)) == 5  # 40 // 8, a plain permutation
    names = [name for step in range(5) for name in batches(iterations=0, instances=0).names(0, step)]
    assert len(set(names)) == 40


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_read_is_named(workers):
    images = InMemorySet(4, 2, 16)
    images.damage(images.names.index("2_1.jpg"))
    with pytest.raises(Refusal, match=r"^training image 2_1\.jpg cannot be read \(.*\): generate[^\n]*$"):
        listed(load_batches(batches(images, iterations=1), 0, workers=workers))


def test_a_set_smaller_than_a_batch_is_refused():
    with pytest.raises(Refusal, match="fill a batch of 8, found 6 images of 3 classes at 2"):
        batches(InMemorySet(3, 2, 16))
