import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from encore.losses.batch_hard_triplet import batch_hard_triplet
from encore.losses.focal import focal
from encore.systems.reid.network import Outputs
from encore.systems.reid.objective import Objective
from encore.systems.reid.params_json import params_from
from tests.encore.systems.reid.reid_formula import off_block, read

ARRAYS = read("parts_H.npz")
LABELS = torch.tensor(ARRAYS["comb_y"])
COMBINED = [(state, row) for state in "SH" for row in read("parts_%s.json" % state)["combined"]["rows"]]


def params(state, margin=0, lambda_cls=1, lambda_tri=1, adaptive=False, drop=0, balanced=True, **top):
    mapping = {
        "encore": {"state": state},
        "batch_sampling_params": {"class_balanced": balanced},
        "lr": {"decay_step": 2001 if state == "S" else [40, 80]},
        "tri_loss_params": {
            "margin": margin,
            "lambda_cls": lambda_cls,
            "lambda_tri": lambda_tri,
            "use_adaptive_weight": adaptive,
        },
    }
    if drop:
        mapping["model_params"] = {"random_drop_branchs": drop}
    else:
        mapping["model_params"] = {"random_drop_branchs": 0} if state == "H" else {}
    return params_from(dict(mapping, **top), "test")[0]


def given(logits=7, features=("comb_feat", "comb_featg")):
    tensors = [torch.tensor(ARRAYS["comb_logits"][k], requires_grad=True) for k in range(logits)]
    return Outputs(tensors, [torch.tensor(ARRAYS[name], requires_grad=True) for name in features], None)


def published_outputs(state):
    return given() if state == "H" else given(1, ("comb_feat",))


@pytest.mark.parametrize("state, row", COMBINED)
def test_published_combinations_and_gradients(state, row):
    values = params(state, row["margin"], row["lambda_cls"], row["lambda_tri"], row["adaptive"])
    assert sorted(values.losses) == sorted(row["losses"])
    outputs = published_outputs(state)
    loss = Objective(values)(outputs, LABELS, np.random.RandomState(0))
    tolerance = 1e-4 if row["adaptive"] else 1e-5
    assert loss.total.item() == pytest.approx(row["total_loss"], rel=tolerance)
    assert sum(loss.terms.values()) == pytest.approx(loss.total.item(), rel=1e-6)
    loss.total.backward()
    tensors = [outputs.features[0], outputs.features[1] if state == "H" else None, outputs.logits[0]]
    for tensor, moved in zip(tensors, row["moved"]):
        if moved["l2"] == 0:  # not part of the loss
            assert tensor is None or tensor.grad is None
        else:
            assert off_block(-tensor.grad, moved) < 1e-4


@pytest.mark.parametrize("row", read("parts_S.json")["xent"], ids="pcb{0[pcb]}".format)
def test_published_classification_of_the_first_state(row):
    loss = Objective(params("S"))(given(row["pcb"] or 1), LABELS, None)
    assert loss.total.item() == pytest.approx(row["loss"], rel=1e-5)
    assert loss.terms == {"xent_loss": pytest.approx(row["loss"], rel=1e-5)}
    assert loss.accuracy == row["acc_divisor_8"]
    assert loss.triplet is None


@pytest.mark.parametrize("row", read("parts_H.json")["xent"])
def test_published_branch_dropping(row):
    rng = np.random.RandomState(row["np_seed"])
    loss = Objective(params("H", drop=row["drop"]))(given(row.get("branches", 7)), LABELS, rng)
    assert loss.total.item() == pytest.approx(row["loss"], rel=1e-5)
    if "next_np" in row:
        assert rng.uniform() == row["next_np"]


def test_published_accuracy_of_all_outputs():
    loss = Objective(params("H", drop=6))(given(), LABELS, np.random.RandomState(0))
    assert loss.accuracy == pytest.approx(read("parts_H.json")["batch_acc_7"])


def test_accuracies_by_hand():
    logits = [torch.tensor([[3.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 2.0]])]
    outputs, labels = Outputs(logits, [], None), torch.tensor([0, 1])
    # S: means (1.5, .5) and (.5, 1): both right; H: each output has one of two right
    assert Objective(params("S"))(outputs, labels, None).accuracy == 1.0
    assert Objective(params("H"))(outputs, labels, None).accuracy == 0.5


def test_focal_losses_take_the_place_of_cross_entropies():
    expected = 0.5 * sum(focal(logits, LABELS).item() for logits in given().logits)
    found = Objective(params("H", lambda_cls=0.5, focal_loss=True))(given(), LABELS, None)
    assert found.total.item() == pytest.approx(expected, rel=1e-6)


def test_parts_and_triplets_together_work_in_the_first_state():
    found = Objective(params("S", 0.3, 0.5, 10))(given(6, ("comb_feat",)), LABELS, None)
    triplet, statistics = batch_hard_triplet(torch.tensor(ARRAYS["comb_feat"]), LABELS, 0.3)
    classes = sum(F.cross_entropy(logits, LABELS).item() for logits in given(6).logits)
    assert found.terms == {
        "tri_loss": pytest.approx(10 * triplet.item()),
        "xent_loss": pytest.approx(0.5 * classes),
    }
    assert found.triplet == statistics


def test_triplets_alone_need_no_classifier_and_have_no_accuracy():
    outputs = given(0, ("comb_feat",))
    for state, factor in (("S", 1), ("H", 10)):  # published: S ignores lambda_tri here
        found = Objective(params(state, 0.3, 0, 10))(outputs, LABELS, None)
        expected = batch_hard_triplet(outputs.features[0], LABELS, 0.3)[0].item()
        assert found.total.item() == pytest.approx(factor * expected)
        assert math.isnan(found.accuracy) and list(found.terms) == ["tri_loss"]


def test_the_later_state_weighs_classification_without_triplets_too():
    full = Objective(params("H", 0, 1))(given(), LABELS, None).total.item()
    assert Objective(params("H", 0, 0.25))(given(), LABELS, None).total.item() == pytest.approx(full / 4)
    one = Objective(params("S", 0, 0))(given(1), LABELS, None).total.item()
    assert one == pytest.approx(F.cross_entropy(given(1).logits[0], LABELS).item())
