import numpy
import pytest
import torch

from encore.runtime.canary import bounds
from encore.runtime.canary.formula import STREAM, murmur3_finaliser, uniform
from encore.runtime.canary.network import BATCH, SIDE, batch, forward, initial


def test_finaliser_by_hand_and_against_its_known_value():
    def by_hand(value):
        value ^= value >> 16
        value = value * 0x85EBCA6B % 2**32
        value ^= value >> 13
        value = value * 0xC2B2AE35 % 2**32
        return value ^ value >> 16

    inputs = numpy.array([0, 1, 7, STREAM, 2**32 - 1], dtype=numpy.uint32)
    assert murmur3_finaliser(inputs).tolist() == [by_hand(int(value)) for value in inputs]
    assert by_hand(1) == 0x514E28B7


def test_values_by_hand():
    values = uniform(0, 2, 1)
    assert values.dtype == numpy.float32 and values.shape == (2, 1)
    assert values[0, 0] == -1.0  # the finaliser of 0 is 0
    assert values[1, 0] == 0x514E28 / 2**23 - 1  # of 1: 0x514E28B7, upper 24 bits


def test_streams_are_spread_and_differ():
    values = uniform(3, 100000)
    assert values.min() >= -1 and values.max() < 1
    assert abs(float(values.mean())) < 0.01 and abs(float(values.var()) - 1 / 3) < 0.01
    assert not (uniform(4, 100000) == values).any() or (uniform(4, 100000) == values).mean() < 1e-3


def test_values_use_all_24_bits():
    """Rounding operands to fewer bits must change them."""
    numerators = (uniform(1, 10000).astype(numpy.float64) * 2**23).astype(numpy.int64)
    assert (numerators % 2 == 1).mean() > 0.4


def test_refuses_more_than_a_stream_has():
    with pytest.raises(ValueError, match="1 to 1048576"):
        uniform(0, STREAM + 1)


def test_no_activation_is_near_the_kink_of_relu(monkeypatch):
    """A rounding error that switched a ReLU would make the gradient jump."""
    nearest, relu = [], torch.nn.functional.relu

    def watched(maps):
        nearest.append(float(maps.detach().abs().min()))
        return relu(maps)

    monkeypatch.setattr(torch.nn.functional, "relu", watched)
    images, _ = batch("cpu")
    assert images.shape == (BATCH, 3, SIDE, SIDE)
    forward(images, initial("cpu"))
    assert len(nearest) == 2 and min(nearest) > 1e-4


def test_largest_sum_is_larger_than_the_root_of_its_squared_terms():
    """What the bound of sums rests on."""
    left, right = (
        torch.from_numpy(uniform(s, *shape)).double() for s, shape in ((8, (128, 256)), (9, (256, 64)))
    )
    assert (left @ right).abs().max() > ((left**2) @ (right**2)).max().sqrt()
    images, weight = (
        torch.from_numpy(uniform(s, *shape)).double()
        for s, shape in ((1, (8, 16, 16, 16)), (2, (32, 16, 3, 3)))
    )
    convolution = torch.nn.functional.conv2d
    squares = convolution(images**2, weight**2, padding=1)
    assert convolution(images, weight, padding=1).abs().max() > squares.max().sqrt()


def test_bound_of_sums_by_hand():
    assert bounds.sums(256) == 4 * 16
    assert bounds.sums(144, 4) == 4 * (12 + 2)
