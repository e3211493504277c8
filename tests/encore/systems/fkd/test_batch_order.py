import hashlib
import json
import pickle

import numpy as np
import pytest
import torch
from golden_files import golden

from encore.runtime.refusal import Refusal
from encore.systems.fkd.batch_order import BatchOrder

PUBLISHED = [
    # count, batch, (first four of epoch, first of its last batch) of epochs 0, 1 and 2: spec 3.6
    (
        50000,
        1024,
        [
            ([37542, 44491, 216, 43688], 7513),
            ([2115, 49505, 48944, 44740], 35952),
            ([9588, 30321, 11196, 16997], 36233),
        ],
    ),
    (
        10000,
        1024,
        [
            ([7542, 8214, 3698, 2841], 1817),
            ([919, 2834, 6114, 720], 9685),
            ([4939, 5521, 9721, 2186], 7301),
        ],
    ),
    (100, 32, [([42, 96, 62, 98], 25), ([56, 81, 70, 58], 24), ([91, 55, 19, 11], 15)]),
    (10, 4, [([2, 6, 1, 8], 3), ([7, 5, 0, 3], 4), ([9, 6, 2, 4], 0)]),
]


@pytest.mark.parametrize("count, batch, epochs", PUBLISHED)
def test_orders_are_those_of_the_fact_sheet(count, batch, epochs):
    order = BatchOrder(count, batch)
    for epoch, (first, last) in enumerate(epochs):
        assert order.indices(epoch, 0)[:4].tolist() == first
        assert order.indices(epoch, order.batches - 1)[0] == last


def golden_cases():
    with open(str(golden("fkd/sampler/batches.json")), encoding="utf-8") as file:
        return json.load(file)["cases"]


@pytest.mark.parametrize("case", golden_cases(), ids=lambda case: "{N}-{B}".format(**case))
def test_orders_are_those_of_the_published_sampler(case):
    order = BatchOrder(case["N"], case["B"], case["seed"])
    assert len(case["epochs"]) == 5
    for epoch, expected in enumerate(case["epochs"]):
        drawn = order.order(epoch)
        assert drawn.dtype == torch.int64 and drawn.shape == (case["N"],)
        digest = hashlib.sha256(drawn.numpy().astype("<i8").tobytes()).hexdigest()
        assert digest == expected["order_sha256_int64le"]
        assert order.batches == expected["batches"]
        batches = [order.indices(epoch, number) for number in range(order.batches)]
        assert [int(batch[0]) for batch in batches] == expected["first_of_batch"]
        assert len(batches[-1]) == expected["last_size"]
        assert torch.equal(torch.cat(batches), drawn)


def test_epochs_in_any_order_and_after_pickling_are_the_same():
    order = BatchOrder(100, 32, 7)
    straight = [order.order(epoch).tolist() for epoch in range(6)]
    assert len({tuple(epoch) for epoch in straight}) == 6
    assert all(sorted(epoch) == list(range(100)) for epoch in straight)
    for epoch in (5, 0, 3, 3, 2, 4):
        assert order.order(epoch).tolist() == straight[epoch]
        assert pickle.loads(pickle.dumps(order)).order(epoch).tolist() == straight[epoch]
    assert BatchOrder(100, 32, 8).order(0).tolist() != straight[0]


def test_the_global_generator_is_left_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    BatchOrder(50, 8).order(3)
    assert torch.equal(before, torch.get_rng_state())


def test_pickling_carries_no_order():
    order = BatchOrder(100000, 1024)
    order.order(1)
    assert len(pickle.dumps(order)) < 1000


def test_positions_cover_all_pictures_once():
    order = BatchOrder(10, 4)
    assert [order.rows(number) for number in range(order.batches)] == [(0, 4), (4, 8), (8, 10)]


@pytest.mark.parametrize("count, batch", [(0, 4), (10, 0), (-1, 4)])
def test_no_pictures_and_no_batches_are_refused(count, batch):
    with pytest.raises(Refusal, match="1 or more"):
        BatchOrder(count, batch)


@pytest.mark.parametrize("epoch, number", [(-1, 0), (0, 3), (0, -1)])
def test_addresses_outside_are_refused(epoch, number):
    with pytest.raises(ValueError, match="expected 0"):
        BatchOrder(np.int64(10), 4).indices(epoch, number)
