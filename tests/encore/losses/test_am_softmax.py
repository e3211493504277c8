import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from encore.losses.am_softmax import AmSoftmax
from encore.runtime.refusal import Refusal
from tests.golden_files import golden

PUBLISHED = json.loads(golden("reid/parts_H.json").read_text())
ARRAYS = dict(np.load(str(golden("reid/parts_H.npz"))))


def with_weight(weight, margins, step=2000, scale=0.0):
    weight = torch.tensor(weight)
    layer = AmSoftmax(weight.shape[1], weight.shape[0], margins, step, scale)
    layer.weight.data = weight
    return layer


@pytest.mark.parametrize("scale, expected", [(0.0, (2.6, 4, 0.707107)), (15.0, (39, 12, 2.121320))])
def test_by_hand(scale, expected):
    # |x| = 5, cosines 0.6, 0.8, sqrt(2) / 10
    layer = with_weight([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]], [0.2], scale=scale)
    logits = layer(torch.tensor([[3.0, 4.0]]), torch.tensor([0]))
    assert logits[0].tolist() == pytest.approx(expected, abs=1e-5)


def test_without_labels_no_column_has_a_margin():
    layer = with_weight([[1.0, 0.0], [0.0, 2.0]], [0.2])
    assert layer(torch.tensor([[3.0, 4.0]]))[0].tolist() == pytest.approx([3.0, 4.0])
    layer = with_weight([[1.0, 0.0], [0.0, 2.0]], [0.2], scale=15.0)
    assert layer(torch.tensor([[3.0, 4.0]]))[0].tolist() == pytest.approx([9.0, 12.0])


@pytest.mark.parametrize("row", PUBLISHED["am_softmax"], ids="{0[scale]}-{0[global_step]}".format)
def test_published_logits_losses_and_gradients(row):
    layer = with_weight(ARRAYS["am_w"], row["margins"], row["step"], row["scale"])
    x, labels = torch.tensor(ARRAYS["am_x"], requires_grad=True), torch.tensor(ARRAYS["comb_y"])
    logits = layer(x, labels, row["global_step"])
    loss = F.cross_entropy(logits, labels)
    assert loss.item() == pytest.approx(row["loss"], rel=1e-5)
    loss.backward()
    own = logits.gather(1, labels.unsqueeze(1)).squeeze(1).tolist()
    assert own == pytest.approx(row["target_logits"], rel=1e-5)
    check(logits, row["logits"])
    check(x.grad, row["grad_x"])
    check(layer.weight.grad, row["grad_w"])


def check(tensor, block):
    flat = tensor.detach().double().flatten().numpy()
    expected = np.concatenate([block["first16"], block["last4"]])
    assert np.linalg.norm(flat) == pytest.approx(block["l2"], rel=1e-5)
    assert np.abs(np.concatenate([flat[:16], flat[-4:]]) - expected).max() < 1e-5 * block["l2"]


@pytest.mark.parametrize("scale", [0, 1, 15, 30])
def test_published_logits_of_the_first_step(scale):
    row = next(row for row in PUBLISHED["am_softmax"] if row["scale"] == scale)
    layer = with_weight(ARRAYS["am_w"], row["margins"], row["step"], row["scale"])
    logits = layer(torch.tensor(ARRAYS["am_x"]), torch.tensor(ARRAYS["comb_y"]), 0).detach().numpy()
    published = ARRAYS["am_logits_s%d" % scale]
    assert np.abs(logits - published).max() < 1e-5 * np.abs(published).max()


def test_initial_weights_are_the_published_ones():
    published = PUBLISHED["am_init"]
    torch.manual_seed(published["torch_seed"])
    weight = AmSoftmax(12, 10, [0.1]).weight.detach()
    assert weight.norm(dim=1).tolist() == pytest.approx(published["row_norms"], rel=1e-6)
    assert weight.norm(dim=0).tolist() == pytest.approx(published["column_norms_over_classes"], rel=1e-6)


def test_the_margin_grows_with_the_steps_and_stays():
    layer = AmSoftmax(2, 3, (0.1, 0.2, 0.3), step=10)
    assert [layer.margin(step) for step in (0, 9, 10, 19, 20, 1000)] == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]


def test_cosines_stay_within_one():
    x = torch.full((1, 3), 1 / math.sqrt(3)) * 7
    layer = with_weight([[0.1, 0.1, 0.1]], [0.5], scale=30.0)
    assert layer(x).item() <= 30.0


def test_a_row_of_zeros_has_no_cosine_and_a_finite_gradient():
    layer, x = with_weight([[1.0, 0.0], [0.0, 2.0]], [0.2]), torch.zeros(1, 2, requires_grad=True)
    logits = layer(x, torch.tensor([0]))
    logits.sum().backward()
    assert logits[0].tolist() == [0.0, 0.0] and torch.isfinite(x.grad).all()


@pytest.mark.parametrize("margins, step", [((), 10), ((0.1,), 0)])
def test_no_margins_are_refused(margins, step):
    with pytest.raises(Refusal, match="correct asoftmax_params"):
        AmSoftmax(2, 3, margins, step)
