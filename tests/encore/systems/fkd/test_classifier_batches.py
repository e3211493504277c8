"""Batches of labelled pictures: order, addressed views, the two kinds of crop, subsets, loaders."""

import collections

import numpy as np
import pytest
import torch
from PIL import Image

from encore.runtime.refusal import Refusal
from encore.systems.fkd import classifier_batches
from encore.systems.fkd.classifier_batches import (
    LabelledBatches,
    ShuffledOrder,
    draw_view,
    random_per_class,
)
from encore.systems.fkd.classifier_recipe import Augmentation, ClassifierRecipe
from encore.systems.fkd.crops import cropped, draw_crop, draw_flip
from tests.encore.systems.fkd.digit_folders import write_class_folders

RECIPE = ClassifierRecipe(seed=3, size=8, batch=4, replicas=1, accumulation=2, epochs=3, workers=0)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_class_folders(tmp_path_factory.mktemp("pictures") / "train")


def generator(seed=5):
    return torch.Generator().manual_seed(seed)


def picture(height, width):
    pixels = np.random.RandomState(1).randint(1, 256, (height, width, 3)).astype(np.uint8)
    return Image.fromarray(pixels)


def test_every_epoch_shows_each_picture_once_in_another_order():
    order = ShuffledOrder(18, 8, 3)
    shown = [[order.indices(epoch, number) for number in range(order.batches)] for epoch in (0, 1)]
    assert [[len(rows) for rows in epoch] for epoch in shown] == [[8, 8, 2]] * 2
    first, second = (np.concatenate(rows) for rows in shown)
    assert sorted(first) == sorted(second) == list(range(18)) and list(first) != list(second)
    assert list(ShuffledOrder(18, 8, 3).order(1)) == list(second)
    assert list(ShuffledOrder(18, 8, 4).order(1)) != list(second)


def test_a_picture_is_cut_alike_in_whatever_batch_it_is(images):
    batches = LabelledBatches(images, RECIPE)
    together = batches.made(1, 0, np.arange(6))
    alone = batches.made(1, 2, np.array([4]))
    assert together.pixels.dtype == torch.uint8 and together.targets.dtype == torch.int64
    assert torch.equal(together.pixels[4:5], alone.pixels) and together.targets[4] == alone.targets[0]
    assert not torch.equal(batches.made(2, 0, np.array([4])).pixels, alone.pixels)
    assert together.targets.tolist() == images.labels[:6].tolist()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_loader_gives_the_same_batches_from_processes(images, workers):
    def everything(count, start=0):
        batches = LabelledBatches(images, RECIPE)
        try:
            return [
                batch
                for epoch in (0, 1)
                for batch in batches.loader(epoch, start if epoch == 0 else 0, count)
            ]
        finally:
            batches.close()

    expected, found = everything(0), everything(workers)
    assert len(found) == len(expected) == 6
    for one, other in zip(found, expected):
        assert torch.equal(one.pixels, other.pixels) and torch.equal(one.targets, other.targets)
    later = everything(workers, start=2)
    assert len(later) == 4 and torch.equal(later[0].pixels, expected[2].pixels)


def test_pictures_lie_in_shared_memory_in_a_loader_process_only(images, monkeypatch):
    batches = LabelledBatches(images, RECIPE)
    here = batches.made(0, 0, np.arange(3))
    monkeypatch.setattr(classifier_batches, "get_worker_info", lambda: "a loader process")
    there = batches.made(0, 0, np.arange(3))
    assert (here.pixels.is_shared(), there.pixels.is_shared()) == (False, True)
    assert torch.equal(here.pixels, there.pixels)


def test_the_old_processes_end_before_new_ones_start(images, monkeypatch):
    batches, kept = LabelledBatches(images, RECIPE), []

    class Flow(classifier_batches.BatchFlow):
        def __init__(self, *arguments):
            kept.append(batches._flow)
            super().__init__(*arguments)

    monkeypatch.setattr(classifier_batches, "BatchFlow", Flow)
    first = next(batches.loader(0, 0, 0))
    again = next(batches.loader(0, 0, 0))
    assert torch.equal(first.pixels, again.pixels) and kept == [None, None]


def test_batches_can_be_sent_to_a_fresh_process(images):
    import pickle

    batches = LabelledBatches(images, RECIPE)
    next(iter(batches.loader(0, 0, 0)))
    copy = pickle.loads(pickle.dumps(batches))
    assert torch.equal(copy.made(0, 0, np.arange(3)).pixels, batches.made(0, 0, np.arange(3)).pixels)


def test_resized_crops_take_the_draws_in_order():
    image, out, expected = picture(20, 30), np.empty((3, 8, 8), np.uint8), np.empty((3, 8, 8), np.uint8)
    flips = set()
    for seed in range(8):
        draws = generator(seed)
        box = draw_crop(20, 30, (0.2, 0.6), draws)
        flip = draw_flip(draws, 0.5)
        cropped(image, box, flip, 8, expected)
        draw_view(image, Augmentation("resized", 0.2, 0.6), 8, generator(seed), out)
        assert np.array_equal(out, expected)
        flips.add(flip)
    assert flips == {False, True}


def test_padded_crops_are_places_in_a_black_border():
    image = picture(8, 8)
    bordered = np.zeros((14, 14, 3), np.uint8)
    bordered[3:11, 3:11] = np.asarray(image)
    out, places = np.empty((3, 8, 8), np.uint8), collections.Counter()
    for seed in range(60):
        draws = generator(seed)
        top, left = (int(torch.randint(0, 7, (1,), generator=draws)) for _ in range(2))
        expected = bordered[top : top + 8, left : left + 8]
        if torch.rand(1, generator=draws) < 0.5:
            expected = expected[:, ::-1]
        draw_view(image, Augmentation("padded", pad=3), 8, generator(seed), out)
        assert np.array_equal(out, expected.transpose(2, 0, 1))
        places[top, left] += 1
    assert len({top for top, _ in places}) == 7 and len({left for _, left in places}) == 7


def test_without_border_and_flip_a_picture_stays_or_is_resized():
    image, out = picture(8, 8), np.empty((3, 8, 8), np.uint8)
    plain = Augmentation("padded", pad=0, flip=0.0)
    draw_view(image, plain, 8, generator(), out)
    assert np.array_equal(out, np.asarray(image).transpose(2, 0, 1))
    larger = np.empty((3, 16, 16), np.uint8)
    draw_view(image, plain, 16, generator(), larger)
    expected = np.asarray(image.resize((16, 16), Image.BILINEAR))
    assert np.abs(larger.transpose(1, 2, 0).astype(int) - expected).max() <= 1  # Pillow 13 rounds otherwise


def test_random_subsets_are_seeded_balanced_and_nested(images):
    three, two = random_per_class(images, 3, 1), random_per_class(images, 2, 1)
    assert three.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2] and three.classes == images.classes
    assert three.names == random_per_class(images, 3, 1).names and set(two.names) < set(three.names)
    assert any(random_per_class(images, 3, seed).names != three.names for seed in (2, 3))
    assert three.names != images.first_per_class(3).names
    assert three.read(4) == images.read(images.names.index(three.names[4]))
    assert random_per_class(images, 6, 1).names == images.names
    with pytest.raises(Refusal, match="class0 holds 6 pictures, 7 a class were asked for"):
        random_per_class(images, 7, 1)


def test_a_damaged_picture_is_refused_by_name(tmp_path):
    damaged = write_class_folders(tmp_path / "train")
    (tmp_path / "train" / "class1" / "02.png").write_bytes(b"no picture")
    with pytest.raises(Refusal, match=r"picture class1/02\.png cannot be read"):
        list(LabelledBatches(damaged, RECIPE).loader(0, 0, 0))
