import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encore.losses.barlow_twins import barlow_twins


def test_by_hand():
    # columns (1, 1, -1, -1) and (1, -1, 1, -1) are standardised and uncorrelated; the second view swaps them:
    # c = [[0, 1], [1, 0]], so two diagonal terms (0 - 1)^2 and two others 1^2
    first = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    assert barlow_twins(first, first, epsilon=0).item() == pytest.approx(0, abs=1e-15)
    assert barlow_twins(first, first.flip(1), epsilon=0).item() == pytest.approx(2 + 0.0051 * 2, rel=1e-12)


@given(st.integers(0, 10000))
def test_against_batch_norm_and_a_double_sum(seed):
    torch.manual_seed(seed)
    first, second = torch.randn(6, 3), torch.randn(6, 3)
    norm = torch.nn.BatchNorm1d(3, affine=False)
    correlation = norm(first).t() @ norm(second) / 6
    expected = sum(
        (correlation[i, j] - 1) ** 2 if i == j else 0.1 * correlation[i, j] ** 2
        for i in range(3)
        for j in range(3)
    )
    assert torch.allclose(barlow_twins(first, second, 0.1), expected, rtol=1e-4, atol=1e-5)
