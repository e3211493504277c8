"""What a step is refused for, with values worked out by hand."""

import math

import pytest
import torch
from torch import nn

from encore.training.numerical_fault import EXPLODED, NumericalFault, check_scale, check_step


def one(gradient, weight=0.0):
    """A parameter of one number with its gradient, by name."""
    parameter = nn.Parameter(torch.tensor([float(weight)]))
    parameter.grad = torch.tensor([float(gradient)])
    return [("layer.weight", parameter)]


def test_a_step_whose_numbers_are_finite_is_made():
    pictures = torch.zeros(3, 1, 2, 2)
    pictures[2, 0, 1, 1] = 1
    check_step(0.5, {"ce": 0.5}, one(3.0), pictures)
    check_step(0.5, {}, [("frozen", nn.Parameter(torch.zeros(2)))])
    check_step(0.5, {}, pictures=torch.zeros(1, 3, 2, 2))  # a single picture is not a constant batch


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_a_fault(loss):
    with pytest.raises(NumericalFault, match=r"the loss is .*expected a finite number \(ce 2, kd nan\)"):
        check_step(loss, {"kd": math.nan, "ce": 2.0})


@pytest.mark.parametrize("gradient", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_is_a_fault(gradient):
    with pytest.raises(NumericalFault, match="gradients have exploded: .*layer.weight"):
        check_step(1.0, {}, one(gradient))


def test_gradients_have_exploded_beyond_a_million_times_one_plus_the_weights():
    check_step(1.0, {}, one(0.99 * EXPLODED * 4, weight=3))  # norm of the weights 3: the limit is 4 million
    with pytest.raises(NumericalFault, match="norm is 4.04e\\+06, that of the weights 3"):
        check_step(1.0, {}, one(1.01 * EXPLODED * 4, weight=3))


def test_a_batch_of_equal_pictures_is_a_fault():
    with pytest.raises(NumericalFault, match="all 4 pictures of the batch are the same"):
        check_step(1.0, {}, pictures=torch.full((4, 3, 2, 2), 0.25))
    check_step(1.0, {}, pictures=torch.tensor([[1.0], [1.0], [1.0], [2.0]]))


class TwoProcesses:
    """Stands for two processes: what this one gathers is joined with what the other one has."""

    def __init__(self, other):
        self.other = other

    def gather(self, tensor):
        return torch.cat([tensor, torch.tensor([self.other], dtype=tensor.dtype)])


def test_a_fault_of_one_process_ends_all():
    fine = [1.0, 2.0, 0.0, 0.0, 0.0, 0.0]
    check_step(1.0, {}, one(1.0), processes=TwoProcesses(fine))
    with pytest.raises(NumericalFault, match="the loss is nan"):
        check_step(1.0, {}, one(1.0), processes=TwoProcesses([math.nan] + fine[1:]))
    with pytest.raises(NumericalFault, match="norm is inf"):
        check_step(1.0, {}, one(1.0), processes=TwoProcesses([1.0, math.inf] + fine[2:]))


def test_a_batch_is_constant_where_the_pictures_of_all_processes_are_the_same():
    same = torch.full((2, 3), 0.5)  # sum of a picture: 1.5
    other = [1.0, 0.0, 0.0, 2.0, 1.0, 1.5]
    with pytest.raises(NumericalFault, match="all 4 pictures of the batch"):
        check_step(1.0, {}, pictures=same, processes=TwoProcesses(other))
    check_step(1.0, {}, pictures=same, processes=TwoProcesses(other[:5] + [1.25]))  # of another colour
    check_step(1.0, {}, pictures=same, processes=TwoProcesses(other[:4] + [0.0, 0.0]))  # that differ
    with pytest.raises(NumericalFault, match="all 3 pictures"):  # one row is the same as itself
        check_step(1.0, {}, pictures=same[:1], processes=TwoProcesses(other))
    with pytest.raises(NumericalFault, match="all 2 pictures"):  # a process without any says nothing
        check_step(1.0, {}, pictures=same, processes=TwoProcesses([1.0] + [0.0] * 5))


def test_numbers_are_exchanged_on_the_device_that_is_given(monkeypatch):
    whole, devices = torch.tensor, []

    def tensor(*arguments, device=None, **options):
        devices.append(device)
        return whole(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "tensor", tensor)
        check_step(1.0, {}, device="cuda:1")  # with no parameter that says one
    parameters = one(1.0)
    with monkeypatch.context() as patched:
        patched.setattr(torch, "tensor", tensor)
        check_step(1.0, {}, parameters)
    assert devices == ["cuda:1", torch.device("cpu")]


def test_half_precision_overflows_where_the_scale_falls_below_one():
    check_scale(1.0)
    with pytest.raises(NumericalFault, match="overflow in half precision at every scale"):
        check_scale(0.5)
