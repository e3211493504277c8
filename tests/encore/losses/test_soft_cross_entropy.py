import math

import pytest
import torch

from encore.losses.soft_cross_entropy import soft_cross_entropy


def test_by_hand():
    # teacher 2 ln 3 and 0 at temperature 2: probabilities 3/4 and 1/4; student even: -log 1/2 for both
    # classes
    teacher = torch.tensor([[2 * math.log(3), 0.0]], dtype=torch.float64)
    student = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    assert soft_cross_entropy(student, teacher).item() == pytest.approx(math.log(2), rel=1e-12)
    student = torch.tensor([[0.0, 2 * math.log(7)]], dtype=torch.float64)  # probabilities 1/8 and 7/8
    expected = -(0.75 * math.log(1 / 8) + 0.25 * math.log(7 / 8))
    assert soft_cross_entropy(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_the_teacher_is_trained_too():
    torch.manual_seed(1)
    teacher = torch.randn(3, 4, requires_grad=True)
    soft_cross_entropy(torch.randn(3, 4), teacher).backward()
    assert teacher.grad.abs().sum() > 0.01


def test_there_is_no_factor_for_the_temperature():
    torch.manual_seed(2)
    student, teacher = torch.randn(3, 4), torch.randn(3, 4)
    assert torch.allclose(
        soft_cross_entropy(student, teacher, 4.0), soft_cross_entropy(student / 2, teacher / 2, 2.0)
    )
