import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from encore.losses.focal import focal
from tests.golden_files import golden

PUBLISHED = json.loads(golden("reid/parts_H.json").read_text())["focal"]
ARRAYS = dict(np.load(str(golden("reid/parts_H.npz"))))


def test_by_hand():
    # p = e² / (e² + e + 1); cross-entropy 0.407606
    logits, labels = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([0])
    assert F.cross_entropy(logits, labels).item() == pytest.approx(0.407606, abs=1e-6)
    assert focal(logits, labels).item() == pytest.approx(0.045678, abs=1e-6)


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: str(row["logits"]))
def test_published(row):
    logits, labels = torch.tensor(ARRAYS["comb_logits"][row["logits"]]), torch.tensor(ARRAYS["comb_y"])
    assert F.cross_entropy(logits, labels).item() == pytest.approx(row["ce"], rel=1e-5)
    assert focal(logits, labels).item() == pytest.approx(row["loss"], rel=1e-5)


@given(st.integers(0, 1000), st.floats(0, 4))
def test_against_a_sum_over_rows(seed, gamma):
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, 3, generator=draw, dtype=torch.float64)
    labels = torch.randint(0, 3, (4,), generator=draw)
    losses = []
    for row, label in zip(logits.tolist(), labels.tolist()):
        p = math.exp(row[label]) / sum(map(math.exp, row))
        losses.append(-((1 - p) ** gamma) * math.log(p))
    assert focal(logits, labels, gamma).item() == pytest.approx(sum(losses) / 4, rel=1e-9)


def test_without_weight_it_is_the_cross_entropy_and_gradients_pass_through_the_weight():
    logits, labels = torch.tensor([[0.3, -1.0]], dtype=torch.float64, requires_grad=True), torch.tensor([1])
    assert focal(logits, labels, 0.0).item() == pytest.approx(F.cross_entropy(logits, labels).item())
    assert torch.autograd.gradcheck(lambda x: focal(x, labels), (logits,))
