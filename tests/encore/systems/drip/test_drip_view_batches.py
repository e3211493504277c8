import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.systems.drip.clean_view import NORMALISATIONS, normalised
from encore.systems.drip.view_batches import ViewBatches, normalised_pixels
from tests.encore.systems.drip.drip_stage_pictures import SIZE, views, write_pictures
from tests.golden_files import golden


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("drip") / "pictures")


@pytest.fixture(scope="module")
def made(root):
    return views(root)


class Counted:
    """Stands for ClassViews where only the number of classes counts."""

    def __init__(self, classes):
        self.classes = classes

    def __len__(self):
        return self.classes


def test_steps_are_the_published_ones():
    with open(str(golden("drip/model.json")), encoding="utf-8") as file:
        stages = json.load(file)["stages"]
    assert len(stages) == 6
    for stage in stages:
        batches = ViewBatches(Counted(stage["C"]), 0, stage["batch"])
        assert batches.steps == stage["steps_per_epoch"]
        assert batches.validation_steps() == stage["val_batches"]
    assert ViewBatches(Counted(40), 0, 8).validation_steps() == 1  # published: none, and an error


def test_an_epoch_has_every_class_once_in_an_order_of_its_own(made):
    batches, orders = ViewBatches(made, 7, 3), []
    for epoch in range(2):
        classes = [batch.classes.tolist() for batch in batches.training(epoch)]
        assert [len(part) for part in classes] == [3, 3, 2]  # the incomplete batch counts
        orders.append(sum(classes, []))
        assert sorted(orders[-1]) == list(range(8))
    assert orders[0] != orders[1]
    assert orders[0] == sum((batch.classes.tolist() for batch in ViewBatches(made, 7, 4).training(0)), [])
    assert orders[0] != sum((batch.classes.tolist() for batch in ViewBatches(made, 8, 4).training(0)), [])


def test_views_are_those_of_their_addresses(made):
    for batch in ViewBatches(made, 7, 3).training(1, clean=True):
        on_cpu = batch.on("cpu")
        assert batch.augmented.dtype == torch.uint8 and on_cpu.augmented.dtype == torch.float32
        for row, class_ in enumerate(batch.classes.tolist()):
            seed = derive_seed(7, "drip", "view", "training", 1, class_)
            np.testing.assert_array_equal(on_cpu.augmented[row].numpy(), made.augmented(class_, seed)[0])
            np.testing.assert_array_equal(on_cpu.clean[row].numpy(), made.clean(class_))


def test_training_has_augmented_views_only_unless_asked(made):
    batch = next(iter(ViewBatches(made, 7, 3).training(0)))
    assert batch.clean is None and batch.augmented.shape == (3, 3, SIZE, SIZE)
    assert batch.on("cpu").clean is None


def equal(one, other):
    return all(
        a is b is None or torch.equal(a, b) if not isinstance(a, (dict, str)) else a == b
        for a, b in zip(one, other)
    )


def test_the_same_from_any_step_on_and_for_any_number_of_workers(made):
    batches = ViewBatches(made, 7, 3)
    whole = list(batches.training(2))
    for workers in (1, 2):
        found = list(batches.training(2, 1, workers))
        assert len(found) == 2 and all(map(equal, found, whole[1:]))
    assert all(map(equal, batches.training(2, 2), whole[2:]))
    assert list(batches.training(2, 3)) == []


def test_rows_share_a_batch_and_all_its_classes(made):
    batches = ViewBatches(made, 7, 3)
    shares = [list(batches.training(0, rows=slice(rank, None, 2))) for rank in range(2)]
    for whole, one, other in zip(batches.training(0), *shares):
        assert torch.equal(whole.classes, one.classes) and torch.equal(whole.classes, other.classes)
        assert torch.equal(whole.augmented[0::2], one.augmented)
        assert torch.equal(whole.augmented[1::2], other.augmented)
    beyond = next(iter(batches.training(0, 2, rows=slice(2, 3))))
    assert beyond.augmented.shape == (0, 3, SIZE, SIZE) and len(beyond.classes) == 2


def test_validation_has_both_views_of_an_order_and_draws_of_its_own(made):
    batches = ViewBatches(made, 7, 3)
    (batch,) = batches.validation(0)
    assert len(list(batches.validation(0, share=0.67))) == int(0.67 * 3) == 2
    class_ = int(batch.classes[0])
    seed = derive_seed(7, "drip", "view", "validation", 0, class_)
    np.testing.assert_array_equal(batch.on("cpu").augmented[0].numpy(), made.augmented(class_, seed)[0])
    np.testing.assert_array_equal(batch.on("cpu").clean[0].numpy(), made.clean(class_))
    orders = {
        what: [sum((b.classes.tolist() for b in found), []) for found in passes]
        for what, passes in {
            "validation": [batches.validation(epoch, 1.0) for epoch in range(2)],
            "training": [batches.training(epoch) for epoch in range(2)],
        }.items()
    }
    assert len({tuple(order) for found in orders.values() for order in found}) == 4


def test_passes_in_order(made):
    found = list(ViewBatches(made, 7, 3).in_order([(0, 0, 2), (1, 0, 2), (2, 0, 2), (2, 2, 7)]))
    assert [batch.classes.tolist() for batch in found] == [[0, 1], [0, 1], [0, 1], [2, 3, 4, 5, 6]]
    assert found[0].augmented is None and all(batch.clean is None for batch in found[1:])
    np.testing.assert_array_equal(found[0].on("cpu").clean[1].numpy(), made.clean(1))
    assert not torch.equal(found[1].augmented, found[2].augmented)


def test_normalisation_of_batches_has_the_bits_of_that_of_views(made):
    pixels = torch.from_numpy(np.random.RandomState(0).randint(0, 256, (3, 3, 16, 16), dtype=np.uint8))
    for mode in NORMALISATIONS:
        found = normalised_pixels(pixels, mode)
        for row in range(3):
            expected = normalised(pixels[row].numpy().transpose(1, 2, 0), mode)
            np.testing.assert_array_equal(found[row].numpy(), expected)
    with pytest.raises(ValueError, match="no such normalisation: 'torch'"):
        normalised_pixels(pixels, "torch")


@pytest.mark.parametrize("workers", [0, 2])
def test_no_global_generator_is_drawn_from(made, workers):
    def states():
        name, keys, *rest = np.random.get_state()
        return random.getstate(), (name, keys.tolist(), rest), torch.get_rng_state().tolist()

    before = states()
    list(ViewBatches(made, 7, 3).training(0, workers=workers))
    assert states() == before


def test_steps_that_raise_are_counted(root):
    broken = views(root, classes=4, intensity=1.0)
    attempt, calls = broken.chain._attempt, []

    def fails_first(image, draws, numpy_state, steps):
        calls.append(1)
        if len(calls) % 2:
            draws.drawing = "meme"
            raise ValueError("no font")
        return attempt(image, draws, numpy_state, steps)

    broken.chain._attempt = fails_first
    (batch,) = ViewBatches(broken, 7, 4).training(0)
    assert batch.raised["meme"] == 4


@pytest.mark.parametrize("workers", [0, 1])
def test_a_refusal_in_a_loader_process_is_one_here(root, workers, tmp_path):
    own = write_pictures(tmp_path / "pictures", training=3)
    made = views(own, classes=3)
    with open(os.path.join(own, "training_images", "T000001.jpg"), "wb") as file:
        file.write(b"no picture")
    with pytest.raises(Refusal, match="T000001: .*make the resized copies again"):
        list(ViewBatches(made, 0, 3).training(0, workers=workers))


def test_shared_memory():
    counted = Counted(100)
    counted.size = 10
    # Two batches ahead for each of 3 processes and one in use: 7 of 5 classes, 2 views and 300 bytes.
    assert ViewBatches(counted, 0, 5).shared_memory(3, views=2) == 7 * 5 * 2 * 300
    assert ViewBatches(counted, 0, 5).shared_memory(3, batch=64) == 7 * 64 * 300
    assert ViewBatches(counted, 0, 5).shared_memory(0) == 0


KILLED = """
import os, sys
from encore.systems.drip.view_batches import ViewBatches
from tests.encore.systems.drip.drip_stage_pictures import views

made = views(sys.argv[1])
flow = ViewBatches(made, 0, 1).training(0, workers=2)
next(flow)
import multiprocessing
print(*[child.pid for child in multiprocessing.active_children()], flush=True)
sys.stdin.read()
"""


def test_loader_processes_end_with_a_killed_parent(root):
    run = subprocess.Popen(
        [sys.executable, "-c", KILLED, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    children = [int(text) for text in run.stdout.readline().split()]
    assert len(children) == 2 and all(is_running(child) for child in children)
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdin.close()
    run.stdout.close()
    deadline = time.monotonic() + 3  # torch's own watch looks every 5 s
    while any(map(is_running, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, children))


def is_running(process):
    try:
        with open("/proc/%d/stat" % process, encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
