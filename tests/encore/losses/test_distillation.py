"""The distillation loss against its formula, term by term."""

import math

import pytest
import torch

from encore.losses.distillation import distillation_loss, divergence, softened


def logits(seed, rows=6, classes=4):
    return 5 * torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed))


def by_hand(student, teacher, temperature):
    total = 0.0
    for s, t in zip(student.double().tolist(), teacher.double().tolist()):
        p = [math.exp(value / temperature) for value in t]
        q = [math.exp(value / temperature) for value in s]
        p, q = [value / sum(p) for value in p], [value / sum(q) for value in q]
        total += sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q))
    return total / len(student)


@pytest.mark.parametrize("temperature", [1.0, 3.0, 20.0])
def test_it_is_the_mean_divergence_of_the_rows_at_the_temperature(temperature):
    student, teacher = logits(1), logits(2)
    found = distillation_loss(student, teacher, temperature).item()
    assert found == pytest.approx(by_hand(student, teacher, temperature), rel=1e-5)


def test_equal_logits_cost_nothing():
    assert distillation_loss(logits(1), logits(1), 20.0).item() == pytest.approx(0.0, abs=1e-7)


def test_squared_multiplies_by_the_temperature_squared():
    once = distillation_loss(logits(1), logits(2), 20.0).item()
    assert distillation_loss(logits(1), logits(2), 20.0, squared=True).item() == pytest.approx(400 * once)


def test_without_the_factor_the_gradient_shrinks_with_the_square_of_the_temperature():
    sizes = []
    for temperature in (20.0, 40.0):
        student = (logits(1) / 100).requires_grad_()
        distillation_loss(student, logits(2) / 100, temperature).backward()
        sizes.append(student.grad.norm().item())
    assert sizes[0] / sizes[1] == pytest.approx(4.0, rel=0.01)


def test_half_precision_logits_are_softened_in_float32():
    teacher = logits(2).half()
    assert softened(teacher, 20.0).dtype == torch.float32
    assert torch.equal(softened(teacher, 20.0), torch.softmax(teacher.float() / 20.0, 1))


def test_the_teacher_gets_no_gradient():
    teacher = logits(2).requires_grad_()
    distillation_loss(logits(1).requires_grad_(), teacher, 3.0).backward()
    assert teacher.grad is None


def test_given_probabilities_count_as_the_teachers():
    student, teacher = logits(1), logits(2)
    assert torch.equal(
        divergence(student, softened(teacher, 3.0), 3.0), distillation_loss(student, teacher, 3.0)
    )
