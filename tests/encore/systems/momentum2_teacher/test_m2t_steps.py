"""Three steps of the full ResNet-50-IBN-a pair against the published code's, and replicas by hand."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from encore.models.isc_network import IscShape
from encore.models.resnet import RESNET152_LAYERS
from encore.runtime.refusal import Refusal
from encore.systems.momentum2_teacher import pretraining
from encore.systems.momentum2_teacher.checkpoints import model_state
from encore.systems.momentum2_teacher.networks import Pair
from encore.systems.momentum2_teacher.published_files import backbone_of_teacher
from encore.systems.momentum2_teacher.recipe import Momentum2Recipe
from encore.systems.momentum2_teacher.schedules import teacher_momentum
from encore.training.replicas import GradientSum
from tests.encore.isc_formula import checksum, identities, weight
from tests.golden_files import golden

IBN = IscShape(matrix=None, ibn=True)
TINY = Momentum2Recipe(
    seed=3,
    shape=IscShape((1, 1, 1, 1), 4, matrix=None, ibn=True),
    size=32,
    batch=12,
    replicas=3,
    epochs=4,
    warm_up_epochs=1,
    learning_rate=1.0,
    hidden=16,
    embedding=8,
)


def fill(module, prefix="", suffixes=None):
    """Tensors of `module` by the formula, named as in its own state dict behind `prefix`."""
    state = module.state_dict()
    for name, value in state.items():
        if suffixes is None or name.endswith(suffixes):
            found = weight(prefix + name, tuple(value.shape)).reshape(tuple(value.shape))
            value.copy_(torch.from_numpy(found))


def compare(module, expected, tolerance, but=()):
    """Absolute sum and sum of squares, relative."""
    state = module.state_dict()
    for name, values in expected.items():
        if name not in but:
            found = checksum(state[name])
            assert found[1:3] == pytest.approx(values[1:3], rel=tolerance, abs=1e-12), name


def test_the_published_steps(monkeypatch):
    monkeypatch.setattr(pretraining, "normalised", lambda images: images)
    stored = json.loads(golden("isc/m2t_steps.json").read_text())
    recipe = Momentum2Recipe(shape=IBN, batch=1024, replicas=1, epochs=30)
    training = pretraining.Training(recipe, 1, torch.device("cpu"))
    pair = training.pair
    fill(pair.student_encoder)
    pair.follow(0.0)
    fill(pair.teacher_encoder, "teacher.", ("running_mean", "running_var"))
    training.statistics.spread()
    assert stored["keys"] == {
        "student": len(pair.student_encoder.state_dict()),
        "teacher": len(pair.teacher_encoder.state_dict()),
    }
    for number, expected in enumerate(stored["steps"]):
        views = [identities("m2t/step%d/view%d" % (number + 1, view), 4, 1, 64)[0] for view in (1, 2)]
        result = training.step(number, 0, views)
        assert result.learning_rate == pytest.approx(expected["lr_used"], rel=1e-12)
        assert result.terms["teacher_momentum"] == pytest.approx(expected["ema"], abs=1e-12)
        assert recipe.rate(number + 1, 1) == pytest.approx(expected["lr_next"], rel=1e-12)
        assert result.loss == pytest.approx(expected["loss"], rel=(1e-5, 1e-3, 1e-2)[number])
        (alpha,) = {norm.alpha for norm in pair.momentum_norms()}
        assert alpha == pytest.approx(expected["teacher_alpha_next"], abs=1e-12)
        if number == 0:
            compare(pair.student_encoder, expected["student_parameters"], 1e-4)
            compare(pair.student_encoder, expected["student_running_stats"], 1e-4)
            compare(pair.teacher_encoder, expected["teacher_parameters"], 1e-4)
            compare(pair.teacher_encoder, expected["teacher_running_stats"], 1e-4)


@pytest.mark.parametrize(
    "shape, student, teacher, keys, exported",
    [
        (IscShape(RESNET152_LAYERS, matrix=None), 69703232, 67593536, 1887, 930),
        (IBN, 35067456, 32957760, 715, 344),
    ],
)
def test_sizes_of_the_published_pairs(shape, student, teacher, keys, exported):
    pair = Pair(Momentum2Recipe(shape=shape), 10)
    sizes = [
        sum(parameter.numel() for parameter in network.parameters())
        for network in (pair.student_encoder, pair.teacher_encoder)
    ]
    assert sizes == [student, teacher]
    assert len(model_state(pair)) == keys and len(backbone_of_teacher(model_state(pair))) == exported
    own, followed = list(pair.student_encoder.named_parameters()), list(pair.teacher_encoder.parameters())
    names = [name for name, _ in pair.teacher_encoder.named_parameters()]
    assert names == [name for name, _ in own][: len(names)]
    assert all(torch.equal(mine, value) for (_, mine), value in zip(own, followed))
    assert not any(parameter.requires_grad for parameter in followed)
    kinds = ["Linear", "BatchNorm1d", "ReLU", "Linear"] * 2 + ["Normalise"]
    assert [type(layer).__name__ for layer in pair.student_encoder.fc] == kinds
    assert [type(layer).__name__ for layer in pair.teacher_encoder.fc] == [
        "Linear",
        "MomentumBatchNorm",
        "ReLU",
        "Linear",
        "Normalise",
    ]


def views_of(recipe, seed):
    draw = np.random.RandomState(seed)
    shape = (recipe.batch, 3, recipe.size, recipe.size)
    return [torch.from_numpy(draw.randint(0, 256, shape).astype(np.uint8)) for _ in range(2)]


def test_replicas_are_runs_of_their_own_whose_gradients_are_averaged():
    """Against three separate processes' worth of networks that start each step from the same weights."""
    together = pretraining.Training(TINY, 5, torch.device("cpu"))
    alone = [
        pretraining.Training(dataclasses.replace(TINY, batch=4, replicas=1), 5, torch.device("cpu"))
        for _ in range(3)
    ]
    for number in range(2):
        views = views_of(TINY, number)
        loss = together.step(0, number, views).loss
        sums, losses = GradientSum(), []
        for replica, one in enumerate(alone):
            one.pair.follow(teacher_momentum(number, 20))
            chunks = [pretraining.normalised(view[4 * replica : 4 * replica + 4]) for view in views]
            value, gradients = one._gradients(chunks)
            losses.append(value)
            sums.add([gradient.clone() for gradient in gradients])
        assert loss == pytest.approx(sum(losses) / 3, rel=1e-6)
        mean = [gradient / 3 for gradient in sums.total()]
        for one in alone:
            one.optimizer.param_groups[0]["lr"] = TINY.rate(number, 5)
            for parameter, gradient in zip(one.student, mean):
                parameter.grad = gradient.clone()
            one.optimizer.step()
    ours, first = together.pair.state_dict(), alone[0].pair.state_dict()
    for name, value in ours.items():
        assert torch.allclose(value, first[name], atol=1e-6), name
    others = together.statistics.state()["others"]
    for kept, one in zip(others, alone[1:]):  # each replica moves running statistics of its own
        for mean, norm in zip(kept["mean"], one.pair.momentum_norms()):
            assert torch.allclose(mean, norm.running_mean, atol=1e-6)
    assert not torch.equal(others[0]["mean"][0], others[1]["mean"][0])
    assert together.statistics.state()["iterations"] == 2


def test_sgd_is_torchs_with_decay_on_every_parameter():
    training = pretraining.Training(TINY, 5, torch.device("cpu"))
    before = [parameter.detach().clone() for parameter in training.student]
    training.step(0, 0, views_of(TINY, 0))
    bias = training.pair.student_encoder.bn1.weight
    place = [parameter is bias for parameter in training.student].index(True)
    expected = before[place] - 1e-6 * (bias.grad + 1e-4 * before[place])
    assert torch.allclose(bias, expected, atol=1e-9)
    (group,) = training.optimizer.param_groups
    assert len(group["params"]) == len(training.student)


def test_a_loss_that_is_not_finite_stops_before_the_update():
    training = pretraining.Training(TINY, 5, torch.device("cpu"))
    training.step(0, 0, views_of(TINY, 0))
    with torch.no_grad():
        training.student[0].fill_(float("inf"))
    before = [parameter.detach().clone() for parameter in training.student[1:]]
    with pytest.raises(Refusal, match="the loss is nan"):
        training.step(0, 1, views_of(TINY, 1))
    assert all(torch.equal(mine, value) for mine, value in zip(before, training.student[1:]))


def test_the_loss_by_hand():
    # q1.k2 = 1 and 0, q2.k1 = -1 and 0.6: 4 - 2 (1 - 1) = 4 and 4 - 2 (0 + 0.6) = 2.8, mean 3.4
    q1, k2 = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    q2, k1 = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    assert pretraining.agreement_loss(q1, q2, k1, k2).item() == pytest.approx(3.4)
