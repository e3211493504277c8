import json
import math
import os

import pytest
import torch

from encore.systems.reid.optimizers import OPTIMIZERS, build_optimizer, rates, set_factor
from encore.systems.reid.rates import rate_factor
from tests.encore.systems.reid.tiny_reid_run import params_of

GOLDEN = os.path.join(os.path.dirname(__file__), "..", "..", "..", "golden", "reid")
RATE, DECAY = 0.1, 0.01


def trajectory(name, gradients, start=1.0):
    """Values of one parameter after each of two updates by build_optimizer."""
    parameter = torch.nn.Parameter(torch.tensor([start], dtype=torch.float64))
    optimizer = build_optimizer(name, [{"params": [parameter], "lr": RATE}], DECAY)
    found = []
    for gradient in gradients:
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        found.append(parameter.item())
    return found


def by_hand(name, gradients, start=1.0):
    """The same by the formulas of the papers, momentum 0.9."""
    value, velocity, mean, square, largest, found = start, 0.0, 0.0, 0.0, 0.0, []
    for step, gradient in enumerate(gradients, 1):
        gradient = gradient + DECAY * value
        if name in ("adam", "amsgrad"):
            mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
            largest = max(largest, square) if name == "amsgrad" else square
            root = math.sqrt(largest / (1 - 0.999**step)) + 1e-8
            value -= RATE * mean / (1 - 0.9**step) / root
        elif name == "rmsprop":
            square = 0.99 * square + 0.01 * gradient**2
            velocity = 0.9 * velocity + gradient / (math.sqrt(square) + 1e-8)
            value -= RATE * velocity
        else:
            velocity = 0.9 * velocity + gradient if step > 1 else gradient
            value -= RATE * (gradient + 0.9 * velocity if name == "nesterov" else velocity)
        found.append(value)
    return found


@pytest.mark.parametrize("name", sorted(OPTIMIZERS) + ["nadam"])
def test_updates_are_those_of_the_formulas(name):
    gradients = [0.5, -0.2, 0.05]  # smaller squares: amsgrad keeps the largest one
    assert trajectory(name, gradients) == pytest.approx(by_hand(name, gradients), rel=1e-12)


def test_another_name_is_plain_sgd():
    assert trajectory("lamb", [0.5, -0.2]) == trajectory("sgd", [0.5, -0.2])
    assert trajectory("nesterov", [0.5, -0.2]) != trajectory("sgd", [0.5, -0.2])


@pytest.mark.parametrize(
    "case, decay, gamma", [("random_default", 10, 0.1), ("random_step7_gamma.5_20ep", 7, 0.5)]
)
def test_rates_of_both_groups_are_the_published_ones(tmp_path, case, decay, gamma):
    with open(os.path.join(GOLDEN, "parts_S.json")) as file:
        published = json.load(file)["lr"][case]
    changes = published["changes"]
    params = params_of(tmp_path, lr={"decay_step": decay, "decay_gamma": gamma}, epochs=30)
    heads, backbone = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    groups = [
        {"params": [heads], "lr": params.lr.fc_lr},
        {"params": [backbone], "lr": params.lr.base_lr},
    ]
    optimizer = build_optimizer("sgd", groups, 0.0)
    per_epoch, found = changes[1]["iteration"] // changes[1]["epoch"], []
    for iteration in range(published["iterations"]):
        epoch = iteration // per_epoch
        set_factor(optimizer, rate_factor(params, epoch, iteration, per_epoch))
        now = rates(optimizer, True)
        if not found or found[-1][1:] != (now["fc_learning_rate"], now["learning_rate"]):
            found.append((iteration, now["fc_learning_rate"], now["learning_rate"]))
    assert [row[0] for row in found] == [change["iteration"] for change in changes]
    for row, change in zip(found, changes):
        assert row[1:] == pytest.approx((change["lr_heads"], change["lr_backbone"]), rel=1e-12)


def test_a_frozen_backbone_has_the_rate_zero():
    optimizer = build_optimizer("sgd", [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.1}], 0.0)
    set_factor(optimizer, 0.5)
    assert rates(optimizer, False) == {"learning_rate": 0.0, "fc_learning_rate": 0.05}
