"""Parameter groups and learning rates of students, against the published ones."""

import json

import pytest
import torch
from golden_files import golden

from encore.systems.fkd.networks import NetworkShape, build
from encore.systems.fkd.optimizers import SCHEDULES, adamw, parameter_groups, set_rate, sgd

PUBLISHED = json.loads(golden("fkd/train/cutmix_adamw_accum1.json").read_text())["optimizer_groups"]
SGD_GROUPS = json.loads(golden("fkd/train/cutmix_sgd_accum1.json").read_text())["optimizer_groups"]
RATES = json.loads(golden("fkd/train/learning_rates.json").read_text())


@pytest.fixture(scope="module")
def student():
    return build(NetworkShape("resnet18", 5), 0)


@pytest.mark.parametrize("optimizer, published", [(adamw, PUBLISHED), (sgd, SGD_GROUPS)])
def test_groups_hold_the_published_parameters_and_options(student, optimizer, published):
    names = {id(parameter): name for name, parameter in student.named_parameters()}
    groups = optimizer(student).param_groups
    assert len(groups) == len(published)
    for group, expected in zip(groups, published):
        assert [names[id(parameter)] for parameter in group["params"]] == expected["names"]
        for option, value in expected.items():
            if option != "names":
                assert group[option] == (tuple(value) if isinstance(value, list) else value)


def test_a_resnet_18_has_21_decaying_tensors_and_41_others(student):
    assert [len(group["params"]) for group in parameter_groups(student, 0.01)] == [21, 41]


def test_frozen_parameters_are_in_no_group():
    network = torch.nn.Linear(3, 2)
    network.bias.requires_grad_(False)
    assert [len(group["params"]) for group in parameter_groups(network, 0.01)] == [1, 0]


@pytest.mark.parametrize("name", sorted(RATES["learning_rate_in_epoch"]))
def test_learning_rates_equal_the_published_ones(name):
    base = 0.001 if name.startswith("adamw") else 1.024
    factor = SCHEDULES["cosine" if name.endswith("cos") else "linear"]
    found = [base * factor(epoch, RATES["epochs"]) for epoch in range(RATES["epochs"])]
    assert found == RATES["learning_rate_in_epoch"][name]


def test_setting_the_rate_sets_that_of_every_group(student):
    optimizer = adamw(student)
    set_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]
