"""A computation that is deliberately something else is drift, for the operations that it concerns."""

import numpy
import pytest
import torch

from encore.runtime.canary.comparison import compare
from encore.runtime.canary.flags import pinned
from encore.runtime.canary.golden import read, write
from encore.runtime.canary.report import measure

functional = torch.nn.functional
CONVOLUTION = {
    "convolution forward",
    "convolution backward to input",
    "convolution backward to weight",
}
NETWORK = {"network forward", "network gradient", "losses of ten steps"}
NORM = {"BatchNorm forward", "BatchNorm backward to input", "BatchNorm backward to weight and bias"}


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("golden"))
    key, results, _, _ = measure("cpu")
    write(key, results, folder)
    return read(key, folder)


def drifted(golden):
    """Names that drifted; all others are bit-identical or within their bounds."""
    return {row["operation"] for row in compare(measure("cpu")[1], golden) if row["verdict"] == "drifted"}


def rounded(bits):
    """A function that rounds a float32 tensor to so many bits of mantissa; gradients pass."""

    def function(values):
        integers = values.detach().contiguous().numpy().view(numpy.int32).astype(numpy.int64)
        drop = 23 - bits
        integers = (integers + (1 << (drop - 1))) >> drop << drop
        floats = integers.astype(numpy.int32).view(numpy.float32)
        return values + (torch.from_numpy(floats) - values).detach()

    return function


def with_rounded_operands(operation, bits):
    lower = rounded(bits)
    return lambda left, right, *rest, **named: operation(lower(left), lower(right), *rest, **named)


def changed_norm(**changes):
    original = functional.batch_norm
    return lambda *arguments, **named: original(*arguments, **dict(named, **changes))


def unbiased_norm():
    original = functional.batch_norm

    def function(images, mean, variance, weight, bias, training, momentum=0.1, eps=1e-5):
        original(images, mean, variance, weight, bias, training=training, momentum=momentum, eps=eps)
        shape = (1, -1, 1, 1)
        centred = images - images.mean((0, 2, 3), keepdim=True)
        deviation = torch.sqrt(images.var((0, 2, 3), unbiased=True, keepdim=True) + eps)
        return centred / deviation * weight.view(shape) + bias.view(shape)

    return function


def biased_running_variance():
    original = functional.batch_norm

    def function(images, mean, variance, *rest, **named):
        output = original(images, mean, variance, *rest, **named)
        if variance is not None:
            count = images.numel() / images.shape[1]
            variance.data.mul_((count - 1) / count)
        return output

    return function


def changed_optimizer(**changes):
    original = torch.optim.SGD
    return lambda parameters, **named: original(parameters, **dict(named, **changes))


def test_unchanged_is_bit_identical(golden):
    rows = compare(measure("cpu")[1], golden)
    assert {row["verdict"] for row in rows} == {"bit-identical"} and len(rows) == 13


@pytest.mark.parametrize("bits", [10, 7], ids=["tf32", "bf16"])
@pytest.mark.parametrize(
    ("owner", "name", "expected"),
    [
        (functional, "conv2d", CONVOLUTION | NETWORK),
        (torch, "matmul", {"matrix product"}),
        (functional, "linear", NETWORK),
    ],
)
def test_rounded_operands(golden, monkeypatch, owner, name, expected, bits):
    monkeypatch.setattr(owner, name, with_rounded_operands(getattr(owner, name), bits))
    assert drifted(golden) == expected


@pytest.mark.parametrize("bits", [10, 7], ids=["tf32", "bf16"])
def test_rounded_softmax(golden, monkeypatch, bits):
    original, lower = functional.softmax, rounded(bits)
    monkeypatch.setattr(functional, "softmax", lambda values, dim: original(lower(values), dim=dim))
    assert drifted(golden) == {"softmax"}


@pytest.mark.parametrize("epsilon", [1e-3, 1e-6, 1.1e-5])
def test_another_epsilon(golden, monkeypatch, epsilon):
    monkeypatch.setattr(functional, "batch_norm", changed_norm(eps=epsilon))
    assert drifted(golden) - NETWORK == NORM


def test_normalised_by_the_unbiased_variance(golden, monkeypatch):
    monkeypatch.setattr(functional, "batch_norm", unbiased_norm())
    assert drifted(golden) == NORM | NETWORK


def test_biased_running_variance(golden, monkeypatch):
    monkeypatch.setattr(functional, "batch_norm", biased_running_variance())
    assert drifted(golden) == {"BatchNorm running variance"}


def test_another_momentum_of_running_statistics(golden, monkeypatch):
    monkeypatch.setattr(functional, "batch_norm", changed_norm(momentum=0.11))
    assert drifted(golden) == {"BatchNorm running mean", "BatchNorm running variance"}


@pytest.mark.parametrize(
    "changes", [{"momentum": 0.91}, {"nesterov": True}, {"weight_decay": 1e-4}, {"lr": 0.501}]
)
def test_another_optimizer(golden, monkeypatch, changes):
    monkeypatch.setattr(torch.optim, "SGD", changed_optimizer(**changes))
    assert drifted(golden) == {"losses of ten steps"}


def test_not_a_number(golden, monkeypatch):
    original = functional.softmax
    monkeypatch.setattr(functional, "softmax", lambda values, dim: original(values, dim=dim) / 0 * 0)
    assert drifted(golden) == {"softmax"}


def test_two_threads_are_not_drift(golden, monkeypatch):
    """As the losses of a training on two threads: other sums, the same computation."""
    set_threads, before = torch.set_num_threads, torch.get_num_threads()
    set_threads(2)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    try:
        assert drifted(golden) == set()
    finally:
        set_threads(before)


def test_flags_are_set_and_given_back():
    def flags():
        backends = torch.backends
        cudnn = (backends.cudnn.benchmark, backends.cudnn.deterministic, backends.cudnn.allow_tf32)
        return (torch.get_num_threads(), backends.cuda.matmul.allow_tf32) + cudnn

    before = flags()
    torch.set_num_threads(2)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    try:
        with pinned():
            assert flags() == (1, False, False, True, False)
        assert flags() == (2, True, True) + before[3:]
    finally:
        torch.set_num_threads(before[0])
        torch.backends.cuda.matmul.allow_tf32 = before[1]
        torch.backends.cudnn.benchmark = before[2]
