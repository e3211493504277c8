import math

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from encore.losses.smoothed_cross_entropy import smoothed_cross_entropy


def test_by_hand():
    # logits 0 and ln 3: probabilities 1/4 and 3/4; target (0.05, 0.95) with epsilon 0.1 and 2 classes
    logits = torch.tensor([[0.0, math.log(3)]], dtype=torch.float64)
    expected = -(0.05 * math.log(0.25) + 0.95 * math.log(0.75))
    assert abs(smoothed_cross_entropy(logits, torch.tensor([1])).item() - expected) < 1e-12


@given(st.integers(0, 10000), st.integers(2, 9), st.floats(0, 1))
def test_is_the_mixture_of_the_own_class_and_the_uniform_target(seed, classes, epsilon):
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, classes, generator=draw, dtype=torch.float64)
    labels = torch.randint(0, classes, (5,), generator=draw)
    target = (1 - epsilon) * F.one_hot(labels, classes).double() + epsilon / classes
    independent = F.kl_div(F.log_softmax(logits, 1), target, reduction="none").sum(1).mean()
    entropy = -(target * target.clamp(min=1e-300).log()).sum(1).mean()
    found = smoothed_cross_entropy(logits, labels, epsilon)
    assert torch.allclose(found, independent + entropy, rtol=1e-10)
    assert found >= entropy - 1e-12  # no prediction beats the entropy of the target
