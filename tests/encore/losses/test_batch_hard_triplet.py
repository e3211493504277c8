import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encore.losses.batch_hard_triplet import batch_hard_triplet
from encore.runtime.refusal import Refusal
from tests.golden_files import golden

FEATURES = torch.tensor([[0.0, 0.0], [3.0, 4.0], [1.0, 0.0], [6.0, 8.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 0, 1, 1])
PUBLISHED = json.loads(golden("reid/parts_H.json").read_text())["triplet"]
ARRAYS = dict(np.load(str(golden("reid/parts_H.npz"))))


@pytest.mark.parametrize(
    "margin, adaptive, loss",
    [
        (0.3, False, 4.648957),
        (0.16, False, 4.508957),
        ("soft_margin", False, 4.472410),
        (0.3, True, 4.548101),
    ],
)
def test_by_hand(margin, adaptive, loss):
    # d_ap = 5, 5, sqrt(89), sqrt(89); d_an = 1, sqrt(20), 1, 5
    found, statistics = batch_hard_triplet(FEATURES, LABELS, margin, adaptive)
    assert found.item() == pytest.approx(loss, abs=1e-6)
    assert (statistics.pull_ratio, statistics.active) == (0.0, 4.0)
    if not adaptive:
        assert statistics.mean_positive == pytest.approx((10 + 2 * math.sqrt(89)) / 4)
        assert statistics.mean_negative == pytest.approx((7 + math.sqrt(20)) / 4)


def test_both_states_published_the_same():
    assert json.loads(golden("reid/parts_S.json").read_text())["triplet"] == PUBLISHED


@pytest.mark.parametrize("row", PUBLISHED, ids="{0[case]}-{0[margin]}-{0[adaptive]}".format)
def test_published_losses_statistics_and_gradients(row):
    features = torch.tensor(ARRAYS["tri%d_f" % row["case"]], requires_grad=True)
    labels = torch.tensor(ARRAYS["tri%d_y" % row["case"]])
    loss, found = batch_hard_triplet(features, labels, row["margin"], row["adaptive"])
    tolerance = 1e-4 if row["adaptive"] or row["case"] == 2 else 1e-5
    assert loss.item() == pytest.approx(row["loss"], rel=tolerance)
    assert (found.pull_ratio, found.active) == (row["pull_ratio"], row["active"])
    assert found.mean_negative == pytest.approx(row["mean_an"], rel=tolerance)
    assert found.mean_positive == pytest.approx(row["mean_ap"], rel=tolerance)
    loss.backward()
    gradient, block = features.grad.double().flatten(), row["grad"]
    assert gradient.norm().item() == pytest.approx(block["l2"], rel=tolerance)
    ends = np.concatenate([gradient[:16].numpy(), gradient[-4:].numpy()])
    expected = np.concatenate([block["first16"], block["last4"]])
    assert np.abs(ends - expected).max() < tolerance * block["l2"]


@given(st.integers(0, 10000), st.integers(3, 9), st.sampled_from([0.3, "soft_margin"]), st.booleans())
def test_against_a_loop_over_all_pairs(seed, count, margin, adaptive):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 3, generator=draw, dtype=torch.float64)
    labels = torch.cat([torch.tensor([0, 1]), torch.randint(0, 3, (count - 2,), generator=draw)])
    losses = []
    for i in range(count):
        distances = [max((x[i] - x[j]).norm().item(), 1e-6) for j in range(count)]
        positive = [distances[j] for j in range(count) if labels[j] == labels[i]]
        negative = [distances[j] for j in range(count) if labels[j] != labels[i]]
        difference = _far(positive, adaptive) + _far([-d for d in negative], adaptive)
        if margin == "soft_margin":
            losses.append(math.log1p(math.exp(difference)))
        else:
            losses.append(max(0.0, difference + margin))
    found = batch_hard_triplet(x, labels, margin, adaptive)[0].item()
    assert found == pytest.approx(sum(losses) / count, rel=1e-6, abs=1e-6)


def _far(distances, adaptive):
    if not adaptive:
        return max(distances)
    weights = [math.exp(distance) for distance in distances]
    return sum(d * weight for d, weight in zip(distances, weights)) / sum(weights)


def test_a_batch_of_one_identity_is_refused():
    with pytest.raises(Refusal, match="expected two identities or more in a batch, found one in 4 pictures"):
        batch_hard_triplet(FEATURES, torch.tensor([7, 7, 7, 7]), 0.3)
