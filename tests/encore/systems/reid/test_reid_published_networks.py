"""ResNet-50 outputs and gradients of the published code (golden/reid/README.md)."""

import os

import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from encore.runtime.refusal import Refusal
from tests.encore.systems.reid.reid_formula import (
    formula_input,
    formula_network,
    off_block,
    off_largest,
    read,
)

ALL = bool(os.environ.get("ENCORE_ALL_SEEDS"))
"""Every published size and variant, which takes a minute; else one size each of four variants."""
RUNS = [
    ("S", "plain256", "256x128"),
    ("S", "pcb6_1536", "384x128"),
    ("H", "plain256", "256x128"),
    ("H", "pcb6_1536_global256", "256x128"),
]
MORE_RUNS = [
    ("S", "plain256", "384x128"),
    ("H", "plain256", "384x128"),
    ("H", "plain256_stride2", "256x128"),
    ("H", "pcb6_1536_global256", "384x128"),
]


def test_all_published_runs_are_in_the_two_lists():
    keys = {"%s_%s" % (name, size) for state, name, size in RUNS + MORE_RUNS}
    found = set()
    for state in "SH":
        for variant in read("models_%s.json" % state).values():
            runs = variant.items() if isinstance(variant, dict) else ()
            found |= {key for key, run in runs if isinstance(run, dict) and "dim" in run}
    assert found == keys


@pytest.mark.parametrize("state, name, size", RUNS + (MORE_RUNS if ALL else []))
def test_evaluation_and_training_paths(state, name, size):
    key = "%s_%s" % (name, size)
    published, arrays = read("models_%s.json" % state)[name][key], read("models_%s.npz" % state)
    network = formula_network(state, name)
    network.eval().training = True  # as published: training, while every layer stays in evaluation mode
    maps = []
    hook = network.model.layer4.register_forward_hook(lambda *call: maps.append(call[2]))
    images = formula_input("input", 2, 3, *map(int, size.split("x")))
    outputs = network(images, accuracy=0.95)
    hook.remove()
    assert off_block(maps[0], published["feature_map"]) < 1e-5
    check_training(network, outputs, arrays, key, published["train_path"])
    if key + "_train_logits_acc0.5" in arrays:
        alike = from_map(network, maps[0].detach(), accuracy=0.5)
        assert off_largest(torch.stack(alike.logits), arrays[key + "_train_logits_acc0.5"]) < 1e-5
        assert (alike.st_mean or 0.0) == published["train_path"]["st_mean_acc0.5"] == 0.0
    check_evaluation(network.eval(), maps[0].detach(), arrays[key + "_eval"], published)


def check_training(network, outputs, arrays, key, published):
    labels = torch.tensor(published["labels"])
    assert len(outputs.logits) == published["n_logits"]
    assert off_largest(torch.stack(outputs.logits), arrays[key + "_train_logits"]) < 1e-5
    if key + "_train_feature" in arrays:
        assert off_largest(outputs.features[0], arrays[key + "_train_feature"]) < 1e-5
        assert off_largest(outputs.features[1], arrays[key + "_train_global"]) < 1e-5
    if "st_mean_acc0.95" in published:
        assert outputs.st_mean == pytest.approx(published["st_mean_acc0.95"], rel=1e-5)
    loss = sum(F.cross_entropy(logits, labels) for logits in outputs.logits)
    assert loss.item() == pytest.approx(published["sum_ce"], rel=1e-5)
    loss.backward()
    parameters = dict(network.named_parameters())
    for name, block in published["grads"].items():
        assert off_block(parameters[name].grad, block) < 1e-3, name


def check_evaluation(network, maps, expected, published):
    features = from_map(network, maps)
    assert off_largest(features, expected) < 1e-5
    assert np.allclose(features.norm(dim=1).numpy(), published["norms"], rtol=1e-5)
    assert tuple(features.shape) == (2, published["dim"]) and network.shape.features == published["dim"]


def from_map(network, maps, **options):
    """What the network makes of a feature map that stands for its pictures."""
    backbone, network.model = network.model, Given()
    try:
        with torch.no_grad():
            return network(maps, **options)
    finally:
        network.model = backbone


class Given(nn.Module):
    """A backbone whose layers hand their input on."""

    def __getattr__(self, name):
        return nn.Identity()


def test_eight_rows_do_not_give_six_parts():
    published = read("models_S.json")["pcb6_1536"]["pcb6_1536_256x128"]
    assert published["raises"] == "IndexError"
    network = formula_network("S", "pcb6_1536").eval()
    with pytest.raises(Refusal, match="cut into 6 parts, found one of 8 rows, which gives 4"):
        from_map(network, torch.zeros(1, 2048, 8, 4))
    with pytest.raises(Refusal, match="8 rows"):
        network.shape.check_height(256)
    network.shape.check_height(384)
