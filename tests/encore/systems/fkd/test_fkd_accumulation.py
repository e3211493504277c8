"""Chunks of a batch: the published weights, and those by size."""

import pytest
import torch

from encore.runtime.refusal import Refusal
from encore.systems.fkd.accumulation import chunk_size, chunks


def sizes(found):
    return [chunk.last - chunk.first for chunk in found]


@pytest.mark.parametrize(
    "rows, steps, expected",
    [
        (1024, 1, [1024]),
        (1024, 4, [256] * 4),
        (848, 2, [512, 336]),  # last batch of 50 pictures a class
        (320, 2, [320]),  # of 200
        (320, 4, [256, 64]),
        (672, 4, [256, 256, 160]),  # of 100
    ],
)
def test_the_last_batch_has_as_many_chunks_as_it_fills(rows, steps, expected):
    found = chunks(rows, 1024, steps)
    assert sizes(found) == expected
    assert found[0].first == 0 and found[-1].last == rows
    assert [one.last for one in found[:-1]] == [one.first for one in found[1:]]


def gradient(rows, steps, unbiased):
    """d loss / d each row's value, where the loss of a row is its value."""
    values = torch.zeros(rows, requires_grad=True)
    for chunk in chunks(rows, 1024, steps, unbiased):
        (values[chunk.first : chunk.last].mean() / chunk.divisor).backward()
    return values.grad.double()


def test_a_whole_batch_weighs_its_rows_alike():
    for steps in (1, 2, 4):
        assert torch.allclose(gradient(1024, steps, False), torch.full((1024,), 1 / 1024).double())


def test_published_rows_of_a_short_chunk_weigh_more():
    found = gradient(848, 2, False)
    assert found[0].item() == pytest.approx(1 / 512 / 2)
    assert found[-1].item() == pytest.approx(1 / 336 / 2)


def test_published_gradient_of_a_batch_that_lacks_a_chunk_is_smaller():
    assert gradient(320, 2, False).sum().item() == pytest.approx(0.5)


@pytest.mark.parametrize("rows, steps", [(848, 2), (320, 2), (320, 4), (672, 4), (1024, 4)])
def test_unbiased_rows_weigh_the_same(rows, steps):
    assert torch.allclose(gradient(rows, steps, True), torch.full((rows,), 1 / rows).double())


@pytest.mark.parametrize("batch, steps", [(1024, 3), (16, 0), (16, 32)])
def test_unequal_chunks_are_refused(batch, steps):
    with pytest.raises(Refusal, match=r"accumulation \(%d\) must divide the batch \(%d\)" % (steps, batch)):
        chunk_size(batch, steps)
