"""Batches by their address."""

import numpy as np
import pytest
import torch
from reid_pictures import params, png, write

from encore.data.picture_database import PictureDatabase, write_picture_database
from encore.runtime.refusal import Refusal
from encore.systems.reid import training_batches
from encore.systems.reid.augmentation import Draws
from encore.systems.reid.identity_batches import identity_batches
from encore.systems.reid.training_batches import TrainingBatches
from encore.systems.reid.training_pictures import open_training_pictures

ALL = {"random_erasing": True, "rotation": 10}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    write(folder, ["%04d/%d.png" % (person, copy) for person in range(7) for copy in range(1 + person % 4)])
    return open_training_pictures(folder)


def random_params(state="S", **encore):
    return params(
        state,
        batch_sampling_params={"batch_size": 6},
        data_augmentation=ALL,
        encore=dict(encore, state=state),
    )


def balanced(**encore):
    return params(
        batch_sampling_params={"class_balanced": True, "P": 3, "K": 2},
        lr={"decay_step": 2001},
        data_augmentation=ALL,
        encore=dict(encore, state="S"),
    )


def equal(first, second):
    return len(first) == len(second) and all(
        torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(first, second)
    )


def test_random_batches_hold_every_picture_once_an_epoch(pictures):
    batches = TrainingBatches(pictures, random_params())
    assert len(pictures) == 16 and len(batches) == 3
    orders = [np.concatenate([batches.numbers(epoch, step) for step in range(3)]) for epoch in range(2)]
    assert all(sorted(order) == list(range(16)) for order in orders) and (orders[0] != orders[1]).any()
    made = list(batches.load(0))
    assert [len(labels) for _, labels in made] == [6, 6, 4]  # the rest comes too
    images, labels = made[0]
    assert images.dtype == torch.float32 and images.shape == (6, 3, 32, 16) and labels.dtype == torch.int64
    assert torch.cat([labels for _, labels in made]).tolist() == pictures.labels[orders[0]].tolist()
    assert batches.shared_memory(0) == 0 and batches.shared_memory(2) == 5 * 6 * 3 * 32 * 16 * 4


def test_two_devices_double_the_batch(pictures):
    two = params(batch_sampling_params={"batch_size": 6}, parallels=[0, 1])
    assert [len(labels) for _, labels in TrainingBatches(pictures, two).load(0)] == [12, 4]


def test_balanced_batches(pictures):
    batches = TrainingBatches(pictures, balanced())
    assert len(batches) == 2  # 7 identities, 3 a batch
    for epoch in range(2):
        seed = training_batches.derive_seed(0, "reid", "order", epoch)
        expected = identity_batches(pictures.labels, 3, 2, np.random.RandomState(seed % 2**32))
        assert [batches.numbers(epoch, step).tolist() for step in range(2)] == expected
        for _, labels in batches.load(epoch):
            assert labels.shape == (6,) and (labels[::2] == labels[1::2]).all()


def test_an_image_by_hand(pictures):
    batches = TrainingBatches(pictures, random_params())
    number, row = int(batches.numbers(1, 2)[3]), 3
    draws = Draws.seeded(training_batches.derive_seed(0, "reid", "transform", 1, 2, row))
    pixels = batches.augmentation(training_batches.decode_image(png(number)).convert("RGB"), draws)
    assert torch.equal(batches[1, 2][0][row], batches.augmentation.normalised(pixels[None])[0])


@pytest.mark.parametrize("make", [random_params, balanced])
def test_equal_for_any_number_of_workers_and_any_start(pictures, make):
    batches = TrainingBatches(pictures, make())
    before = torch.get_rng_state()
    alone = list(batches.load(1))
    assert torch.equal(before, torch.get_rng_state())
    assert equal(alone, list(batches.load(1, workers=2)))
    assert equal(alone[1:], list(batches.load(1, first_step=1)))
    assert equal(alone, list(TrainingBatches(pictures, make(keep_bytes=10**6)).load(1)))
    assert not equal(alone, list(TrainingBatches(pictures, make(seed=1)).load(1)))
    assert list(batches.load(1, first_step=len(batches))) == []


def test_pictures_are_kept_within_their_memory(pictures):
    reads = []

    class Counting(type(pictures)):
        def read(self, i):
            reads.append(i)
            return super(Counting, self).read(i)

    counting = object.__new__(Counting)
    counting.__dict__.update(pictures.__dict__)
    batches = TrainingBatches(counting, random_params(keep_bytes=5 * 3 * 32 * 16))
    first = list(batches.load(0))
    assert len(reads) == 16
    assert equal(first, list(batches.load(0)))
    assert len(reads) == 16 + 11  # five fit


def test_the_same_from_a_database(pictures, tmp_path):
    path = str(tmp_path / "set.lmdb")
    write_picture_database(path, pictures)
    batches = TrainingBatches(PictureDatabase(path), random_params())
    expected = list(TrainingBatches(pictures, random_params()).load(0))
    assert equal(list(batches.load(0)), expected) and equal(list(batches.load(0, workers=2)), expected)


@pytest.mark.parametrize("data", [b"", b"no picture", png(0)[:60]])
def test_a_picture_that_cannot_be_read_is_named(tmp_path, data):
    write(tmp_path, ["a/1.png", "b/2.png"])
    (tmp_path / "b" / "2.png").write_bytes(data)
    batches = TrainingBatches(open_training_pictures(tmp_path), random_params())
    for workers in (0, 1) if not data else (0,):
        with pytest.raises(Refusal, match="training picture b/2.png cannot be read") as caught:
            list(batches.load(0, workers=workers))
        assert "\n" not in str(caught.value)


def test_batches_that_cannot_be(pictures, tmp_path):
    with pytest.raises(Refusal, match="at least P = 8 identities"):
        TrainingBatches(
            pictures,
            params(batch_sampling_params={"class_balanced": True, "P": 8, "K": 2}, lr={"decay_step": 2001}),
        )
    fifteen = params("H", batch_sampling_params={"batch_size": 15})
    with pytest.raises(Refusal, match="the last batch of an epoch would hold 1 of the 16 pictures"):
        TrainingBatches(pictures, fifteen)
    tall = params("S", batch_sampling_params={"batch_size": 15}, img_h=64)
    assert len(TrainingBatches(pictures, tall)) == 2
    with pytest.raises(Refusal, match="would hold 1 of the 16"):  # a last feature map of one pixel
        TrainingBatches(pictures, params("S", batch_sampling_params={"batch_size": 15}))
    fewer = params("H", batch_sampling_params={"batch_size": 15}, encore={"state": "H", "max_iterations": 1})
    assert len(TrainingBatches(pictures, fewer)) == 2  # the last one is never made


@pytest.mark.parametrize(
    "sampling", [{"batch_size": 1, "class_balanced": False}, {"class_balanced": True, "P": 1, "K": 1}]
)
def test_batches_of_one_picture_are_refused(pictures, sampling):
    with pytest.raises(Refusal, match="a batch would hold 1 of the 16 pictures.*now 1 in all") as caught:
        TrainingBatches(pictures, params("H", batch_sampling_params=sampling))
    assert "\n" not in str(caught.value)


def test_each_gpu_needs_two_pictures(pictures):
    six = {"batch_size": 3, "class_balanced": False}
    batches = TrainingBatches(pictures, params("H", batch_sampling_params=six, parallels=[0, 1]))
    batches.check(2)  # 3 + 3, the last one 2 + 2
    with pytest.raises(Refusal, match=r"the last batch of an epoch would hold 4 .* on 4 GPU\(s\)"):
        TrainingBatches(pictures, params("H", batch_sampling_params=six, parallels=[0, 1])).check(4)
    odd = params("H", batch_sampling_params={"class_balanced": True, "P": 3, "K": 1}, parallels=[0, 1])
    with pytest.raises(Refusal, match=r"a batch would hold 3 .* change P or K"):
        TrainingBatches(pictures, odd).check(2)


def test_loader_processes_keep_no_pictures(pictures, monkeypatch):
    batches = TrainingBatches(pictures, random_params(keep_bytes=10**6))
    monkeypatch.setattr(training_batches, "get_worker_info", lambda: "of a loader process")
    first = list(batches.load(0))
    assert not batches._kept
    monkeypatch.undo()
    assert equal(first, list(batches.load(0))) and len(batches._kept) == 16
