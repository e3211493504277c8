import pytest
import torch

from encore.training.lars import Lars


def test_two_steps_by_hand():
    # |p| = 5, gradient (0, 2) + 0.1 p = (0.3, 2.4): q = 0.01 * 5 / |g|; then momentum 0.5 and rate 2
    weight = torch.nn.Parameter(torch.tensor([[3.0, 4.0]], dtype=torch.float64))
    bias = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = Lars([weight, bias], lr=2.0, momentum=0.5, trust=0.01, weight_decay=0.1)
    weight.grad, bias.grad = torch.tensor([[0.0, 2.0]]).double(), torch.tensor([0.25]).double()
    optimizer.step()
    gradient = torch.tensor([[0.3, 2.4]], dtype=torch.float64)
    first = 0.01 * 5 / (0.3**2 + 2.4**2) ** 0.5 * gradient
    assert torch.allclose(weight, torch.tensor([[3.0, 4.0]]).double() - 2 * first)
    assert bias.item() == pytest.approx(1 - 2 * 0.25)  # no decay, no scaling
    optimizer.step()
    assert bias.item() == pytest.approx(0.5 - 2 * (0.5 * 0.25 + 0.25))


def test_a_zero_gradient_or_parameter_is_not_scaled():
    parameter = torch.nn.Parameter(torch.zeros(1, 2))
    parameter.grad = torch.tensor([[1.0, -1.0]])
    Lars([parameter], lr=0.5).step()
    assert parameter.tolist() == [[-0.5, 0.5]]
    still = torch.nn.Parameter(torch.ones(1, 2))
    still.grad = torch.zeros(1, 2)
    Lars([still], lr=0.5, weight_decay=0.0).step()
    assert still.tolist() == [[1.0, 1.0]]
