"""Sums in one order, shares of a run, and one step against the plain network."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encore.models.isc_network import IscNetwork, IscShape
from encore.runtime.refusal import Refusal
from encore.systems.isc.loss import IscLoss
from encore.training.class_parallel import ClassParallelStep
from encore.training.distributed import Processes, join_processes, processes_key, tree_sum
from encore.training.optimizer_state import trainable


@given(st.integers(0, 1000), st.sampled_from([1, 2, 4]), st.sampled_from([4, 8]))
def test_sums_nest(seed, processes, count):
    draw = torch.Generator().manual_seed(seed)
    parts = [torch.randn(20, generator=draw) for _ in range(count)]
    size = count // processes
    shares = [tree_sum(parts[i * size : (i + 1) * size]) for i in range(processes)]
    assert torch.equal(tree_sum(shares), tree_sum(parts))


def test_shares_are_contiguous_and_refused_where_they_do_not_divide():
    assert [list(Processes(rank, 2).share(4)) for rank in range(2)] == [[0, 1], [2, 3]]
    assert list(Processes(0, 1).share(6)) == [0, 1, 2, 3, 4, 5]
    for count, total in ((4, 6), (2, 6), (4, 2)):  # a half, an odd share, less than one
        named = r"{} replicas or blocks cannot be shared by {} .* set x\.train\.processes".format(
            total, count
        )
        with pytest.raises(Refusal, match=named):
            Processes(0, count, processes_key("x")).share(total)
    with pytest.raises(Refusal, match=r"1, 2 or 4 processes, found 3: set x\.train\.processes"):
        Processes(0, 3, processes_key("x"))


def test_a_process_without_a_gpu_of_its_own_names_the_parameter(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(Refusal, match=r"process 1 of this machine .* found 1: lower x\.train\.processes"):
        join_processes("cuda", processes_key("x"))


def test_with_one_replica_a_step_is_plain_backpropagation():
    torch.manual_seed(3)
    network = IscNetwork(IscShape((1, 1, 1, 1), 2, 16, 32, 8), classes=8).double().train()
    images, labels = torch.randn(8, 3, 32, 32).double(), torch.arange(8) // 2
    network.wave_block.rng = random.Random(4)
    total, _ = IscLoss()(network(images), labels)
    expected = torch.autograd.grad(total, list(trainable(network).values()))
    found, _ = ClassParallelStep(network, IscLoss(), 1).gradients(images, labels, [random.Random(4)])
    assert found.item() == pytest.approx(total.item(), rel=1e-12)
    largest = max(gradient.abs().max() for gradient in expected)
    for (name, parameter), gradient in zip(trainable(network).items(), expected):
        assert torch.allclose(parameter.grad, gradient, rtol=1e-8, atol=1e-12 * largest), name
