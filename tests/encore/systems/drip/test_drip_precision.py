"""Half precision: loss scaling, skipped steps, clipping after the scale is taken off."""

import copy
import math

import pytest
import torch

from encore.runtime.refusal import Refusal
from encore.systems.drip.precision import Precision
from encore.training.distributed import ALONE
from encore.training.numerical_fault import NumericalFault

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
needs_cpu_scaler = pytest.mark.skipif(
    not hasattr(torch.amp, "GradScaler"), reason="this torch has a GradScaler for GPUs only"
)


def model():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
    return network, torch.optim.Adam(network.parameters(), lr=1e-2)


def scaled_precision():
    """As on a GPU, but on the CPU: its scaler, and no autocast."""
    precision = Precision(32, torch.device("cpu"))
    precision.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    return precision


def update(precision, network, optimizer, loss, largest=0.1):
    optimizer.zero_grad()
    precision.scaled(loss).backward()
    parameters = list(network.parameters())
    skips = precision.unscale(optimizer, parameters, ALONE, parameters[-1:])
    assert precision.update(optimizer, parameters, largest, ALONE, parameters[-1:]) is skips
    return skips


@needs_cpu_scaler
def test_scaling_changes_nothing_and_clipping_comes_after_it():
    network, optimizer = model()
    other = copy.deepcopy(network)
    plain = torch.optim.Adam(other.parameters(), lr=1e-2)
    precision, images = scaled_precision(), torch.randn(5, 4)
    for _ in range(3):
        skipped = update(precision, network, optimizer, network(images).pow(2).sum())
        plain.zero_grad()
        other(images).pow(2).sum().backward()
        assert torch.nn.utils.clip_grad_norm_(other.parameters(), 0.1) > 0.1
        plain.step()
        assert skipped is False
    for one, two in zip(network.parameters(), other.parameters()):
        assert torch.allclose(one, two, rtol=1e-5, atol=1e-7)


@needs_cpu_scaler
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_step_with_a_gradient_that_is_not_finite_is_skipped_and_said(value):
    network, optimizer = model()
    before = copy.deepcopy(network.state_dict())
    precision = scaled_precision()
    assert update(precision, network, optimizer, (network(torch.ones(1, 4)) * value).sum()) is True
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert precision.scaler.get_scale() == 512.0
    assert update(precision, network, optimizer, network(torch.ones(1, 4)).sum()) is False
    assert not all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@needs_cpu_scaler
def test_the_scale_may_fall_to_one_and_no_further():
    precision = scaled_precision()
    precision.scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    network, optimizer = model()
    precision.refuse_further_skip()
    assert update(precision, network, optimizer, (network(torch.ones(1, 4)) * math.inf).sum()) is True
    with pytest.raises(NumericalFault, match="at every scale of the loss, down to 1"):
        precision.refuse_further_skip()


@needs_cpu_scaler
def test_finite_gradients_whose_norm_overflows_are_not_skipped():
    network, optimizer = model()
    precision = scaled_precision()
    parameters = list(network.parameters())
    optimizer.zero_grad()
    precision.scaled(network(torch.ones(1, 4)).sum()).backward()
    parameters[0].grad.fill_(1e35 * 1024)  # 12 of them: the sum of squares is beyond float32
    assert precision.unscale(optimizer, parameters, ALONE, parameters[-1:]) is False


def test_on_a_cpu_16_bits_are_refused_and_32_compute_in_float32():
    with pytest.raises(Refusal, match="precision 16 needs a GPU"):
        Precision(16, torch.device("cpu"))
    with Precision(32, torch.device("cpu")).autocast():
        assert model()[0](torch.ones(1, 4)).dtype == torch.float32


@needs_gpu
def test_half_precision_on_a_gpu():
    device = torch.device("cuda")
    network, _ = model()
    network.to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    precision = Precision(16, device)
    with precision.autocast():
        found = network(torch.ones(1, 4, device=device))
    assert found.dtype == torch.float16
    assert update(precision, network, optimizer, found.float().sum()) is False
    with precision.autocast():
        loss = (network(torch.ones(1, 4, device=device)).float() * math.inf).sum()
    assert update(precision, network, optimizer, loss) is True
