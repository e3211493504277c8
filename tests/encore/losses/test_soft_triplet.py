import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from encore.losses.soft_triplet import euclidean_distances, hardest_distances, soft_triplet


def test_by_hand():
    # points 0, 3 (identity 0) and 7 (identity 1) on a line: (d_ap, d_an) = (3, 7), (3, 4), (1e-6, 4)
    features = torch.tensor([[0.0], [3.0], [7.0]], dtype=torch.float64)
    pairs = [(3, 7), (3, 4), (1e-6, 4)]
    expected = sum(math.log1p(math.exp(ap - an)) for ap, an in pairs) / 3
    assert soft_triplet(features, torch.tensor([0, 0, 1])).item() == pytest.approx(expected, rel=1e-9)
    mixed = (
        sum(0.3 * math.log1p(math.exp(an - ap)) + 0.7 * math.log1p(math.exp(ap - an)) for ap, an in pairs) / 3
    )
    assert soft_triplet(features, torch.tensor([0, 0, 1]), 0.3).item() == pytest.approx(mixed, rel=1e-9)


def test_a_batch_of_one_identity_takes_a_positive_9999999_away_as_negative():
    features = torch.tensor([[0.0], [3.0]], dtype=torch.float64)
    positive, negative = hardest_distances(euclidean_distances(features), torch.tensor([5, 5]))
    assert positive.tolist() == [3, 3]
    assert negative.tolist() == pytest.approx([9999999 + 1e-6] * 2, rel=1e-15)
    assert soft_triplet(features, torch.tensor([5, 5])).item() == 0


@given(st.integers(0, 10000), st.integers(2, 12), st.integers(2, 4))
def test_against_a_search_over_all_pairs(seed, count, identities):
    draw = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 3, generator=draw, dtype=torch.float64)
    labels = torch.cat([torch.tensor([0, 1]), torch.randint(0, identities, (count - 2,), generator=draw)])
    losses = []
    for i in range(count):
        distance = [(features[i] - features[j]).norm().clamp(min=1e-6) for j in range(count)]
        positive = max(distance[j] for j in range(count) if labels[j] == labels[i])
        negative = min(distance[j] for j in range(count) if labels[j] != labels[i])
        losses.append(F.softplus(positive - negative))
    assert torch.allclose(soft_triplet(features, labels), torch.stack(losses).mean(), rtol=1e-6)
