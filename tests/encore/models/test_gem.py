import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encore.models.gem import GeM


def test_by_hand():
    # cube root of the mean of 1, 8, 27, 0: (36 / 4)^(1/3)
    pooled = GeM(3.0)(torch.tensor([[[[1.0, 2.0], [3.0, -5.0]]]]))
    assert pooled.shape == (1, 1, 1, 1) and pooled.item() == pytest.approx(9 ** (1 / 3), rel=1e-6)


@given(st.integers(0, 1000), st.floats(1.0, 6.0))
def test_lies_between_the_mean_and_the_maximum(seed, p):
    maps = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed)) + 0.01
    pooled = GeM(p)(maps).flatten(1)
    assert (pooled >= maps.mean((2, 3)) * (1 - 1e-4)).all() and (
        pooled <= maps.amax((2, 3)) * (1 + 1e-4)
    ).all()


def test_the_exponent_is_trained():
    pooling = GeM()
    pooling(torch.rand(1, 2, 3, 3)).sum().backward()
    assert pooling.p.shape == (1,) and pooling.p.item() == 3 and pooling.p.grad.abs().item() > 0
