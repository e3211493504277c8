import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from encore.runtime.refusal import Refusal
from encore.systems.reid.network import BACKBONES, NetworkShape, ReidNetwork
from encore.systems.reid.objective import Objective
from encore.systems.reid.params_json import AngularSoftmax, params_from
from tests.encore.systems.reid.reid_formula import CLASSES, known, read

TINY = NetworkShape(model="resnet_18", feature_dim=8, pcb_n_parts=0, width=2, layers=(1, 1, 1, 1))
IMAGES = torch.randn(4, 3, 64, 32, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 0, 1, 1])
MARGINS = AngularSoftmax((0.1, 0.2), 10, 0.0)


def tiny(classes=5, classification=True, margins=None, **changes):
    torch.manual_seed(0)
    return ReidNetwork(dataclasses.replace(TINY, **changes), classes, classification, margins)


@pytest.mark.parametrize(
    "state, variant", [(state, name) for state in "SH" for name in read("state_keys_%s.json" % state)]
)
def test_published_keys_shapes_and_sizes(state, variant):
    published = read("models_%s.json" % state)[variant]
    with torch.device("meta"):
        shape = NetworkShape(state=state, **known(published["model_params"]))
        network = ReidNetwork(shape, CLASSES)
    found = [[name, list(tensor.shape)] for name, tensor in network.state_dict().items()]
    assert found == read("state_keys_%s.json" % state)[variant]
    assert len(found) == published["n_entries"]
    assert sum(parameter.numel() for parameter in network.parameters()) == published["n_parameters"]


@pytest.mark.parametrize("model, block_sizes", [(name, BACKBONES[name]) for name in BACKBONES])
def test_every_backbone_can_be_built(model, block_sizes):
    with torch.device("meta"):
        network = ReidNetwork(NetworkShape(model=model, feature_dim=256, pcb_n_parts=0), 3)
    assert network.model.features == 512 * block_sizes[0].expansion
    assert sum(len(getattr(network.model, "layer%d" % stage)) for stage in (1, 2, 3, 4)) == sum(
        block_sizes[1]
    )


@pytest.mark.parametrize("state, parts, global_dim", [("S", 0, 0), ("S", 2, 0), ("H", 2, 4), ("H", 2, 0)])
def test_outputs_and_features(state, parts, global_dim):
    network = tiny(state=state, pcb_n_parts=parts, feature_gobal_dim=global_dim)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    outputs = network(IMAGES)
    assert [tuple(logits.shape) for logits in outputs.logits] == [(4, 5)] * (max(parts, 1) + bool(global_dim))
    assert [features.shape[1] for features in outputs.features] == [8] + [global_dim] * bool(global_dim)
    network.eval()
    with torch.no_grad():
        joined = torch.cat(network.outputs(IMAGES).features, 1)
        assert torch.equal(network(IMAGES), joined)
        assert joined.shape[1] == network.shape.features


def test_parts_see_their_rows_alone():
    network = tiny(pcb_n_parts=2).eval()
    maps = torch.rand(1, 16, 5, 2, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        upper, lower = network.Pcb(maps)  # rows 0 to 2 and 3 to 4
        branch = network.Pcb.branch
        assert torch.allclose(upper, branch[0][0](maps[:, :, :3].mean((2, 3))))
        assert torch.allclose(lower, branch[1][0](maps[:, :, 3:].mean((2, 3))))
    network = tiny(state="H", pcb_n_parts=2).eval()
    with torch.no_grad():
        weight, bias = network.Pcb.branch[1][0].weight[:, :, 0, 0], network.Pcb.branch[1][0].bias
        largest = maps[:, :, 3:].amax((2, 3)) @ weight.t() + bias
        norm = network.Pcb.branch[1][1]
        expected = largest / math.sqrt(1 + norm.eps) * norm.weight
        assert torch.allclose(network.Pcb(maps)[1], expected, atol=1e-6)


@pytest.mark.parametrize(
    "state, parts, losses, margins",
    itertools.product("SH", (0, 2), ("cls", "tri", "both"), (None, MARGINS)),
)
def test_every_combination_trains(state, parts, losses, margins):
    values = params_from(
        {
            "encore": {"state": state},
            "batch_sampling_params": {"class_balanced": True},
            "lr": {"decay_step": 3000 if state == "S" else [40]},
            "tri_loss_params": {
                "margin": 0 if losses == "cls" else 0.3,
                "lambda_cls": int(losses != "tri"),
                "lambda_tri": 1,
            },
        },
        "test",
    )[0]
    network = tiny(5, "xent_loss" in values.losses, margins, state=state, pcb_n_parts=parts).train()
    outputs = network(IMAGES, LABELS, global_step=3)
    loss = Objective(values)(outputs, LABELS, np.random.RandomState(0))
    loss.total.backward()
    assert math.isfinite(loss.total.item())
    assert network.model.conv1.weight.grad.abs().sum() > 0


def test_margins_reach_the_logits_of_their_labels_in_the_later_state():
    for parts in (0, 2):
        network = tiny(state="H", pcb_n_parts=parts, margins=MARGINS).eval()
        plain = network.outputs(IMAGES).logits
        first = network.outputs(IMAGES, LABELS, global_step=0).logits
        later = network.outputs(IMAGES, LABELS, global_step=10).logits
        own = torch.nn.functional.one_hot(LABELS, 5).bool()
        for a, b, c in zip(plain, first, later):
            assert torch.equal(a[~own], b[~own]) and (b[own] < a[own]).all() and (c[own] < b[own]).all()


def test_spectral_logits_follow_the_accuracy():
    network = tiny(state="H", spectral_trans=0.3).eval()
    same, mixed = network.outputs(IMAGES, accuracy=0.5), network.outputs(IMAGES, accuracy=0.9)
    assert same.st_mean == 0.0 and torch.equal(same.logits[0], same.logits[1])
    assert 0 < mixed.st_mean < 1 and not torch.equal(mixed.logits[0], mixed.logits[1])
    assert len(mixed.features) == 1 and network(IMAGES).shape == (4, 8)
    alone = tiny(state="H", spectral_trans=0.3, classification=False).eval().outputs(IMAGES)
    assert alone.logits == []


def test_masks_scale_the_plain_embedding_and_the_triplet_features_of_parts():
    for parts in (0, 2):
        network = tiny(state="H", feature_mask=True, pcb_n_parts=parts).eval()
        masked = network.outputs(IMAGES).features[0]
        seen = network(IMAGES)
        owner = network.Pcb if parts else network
        owner.mask = None
        unmasked = network.outputs(IMAGES).features[0]
        ratio = (masked / unmasked).detach()
        assert (ratio > 0).all() and (ratio < 1).all()
        assert torch.equal(seen, unmasked if parts else masked)


def test_initial_values_of_the_first_state():
    torch.manual_seed(1)
    network = ReidNetwork(NetworkShape(feature_dim=512, pcb_n_parts=0, width=8), 100)
    assert network.fc.weight.std().item() == pytest.approx(math.sqrt(2 / 512), rel=0.02)
    assert network.classifier.weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert not network.fc.bias.any() and not network.classifier.bias.any()
    conv = network.model.layer4[0].conv2.weight
    assert conv.std().item() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.02)
    parts = ReidNetwork(NetworkShape(feature_dim=512, pcb_n_parts=2, width=8), 100).Pcb
    for layer, fan_in in ((parts.branch[0][0], 256), (parts.classifier[1], 256)):
        for tensor in (layer.weight, layer.bias):
            assert 0.9 / math.sqrt(fan_in) < tensor.abs().max().item() <= 1 / math.sqrt(fan_in)


def test_initial_values_of_the_later_state():
    torch.manual_seed(1)
    shape = NetworkShape("H", feature_dim=512, pcb_n_parts=0, width=8)
    plain = ReidNetwork(shape, 100)
    assert plain.fc[0].weight.std().item() == pytest.approx(math.sqrt(2 / 512), rel=0.02)
    assert plain.fc[1].weight.mean().item() == pytest.approx(1, abs=0.004)
    assert plain.fc[1].weight.std().item() == pytest.approx(0.02, rel=0.15)
    assert not plain.fc[0].bias.any() and not plain.fc[1].bias.any()
    shape = dataclasses.replace(shape, pcb_n_parts=2, feature_gobal_dim=512)
    parts = ReidNetwork(shape, 100)
    for norm in (parts.Pcb.branch[0][1], parts.fc_g[1]):
        assert 0 <= norm.weight.min() < 0.05 and 0.95 < norm.weight.max() <= 1
    assert (parts.model.bn1.weight == 1).all()
    assert parts.classifier_g.weight.std().item() == pytest.approx(0.001, rel=0.02)
    ones = ReidNetwork(dataclasses.replace(shape, uniform_gamma=False), 100)
    assert (ones.Pcb.branch[0][1].weight == 1).all() and (ones.fc_g[1].weight == 1).all()


def test_parameter_groups_and_frozen_backbones():
    values = params_from(
        {"lr": {"base_lr": 0.01, "fc_lr": 0.1, "decay_gamma": 0.1, "decay_step": 10}}, "test"
    )[0]
    network = tiny(pcb_n_parts=2)
    heads, backbone = network.parameter_groups(values)
    assert (heads["lr"], backbone["lr"]) == (0.1, 0.01)
    assert [id(p) for p in heads["params"]] == [id(p) for p in network.Pcb.parameters()]
    assert [id(p) for p in backbone["params"]] == [id(p) for p in network.model.parameters()]
    frozen = network.parameter_groups(dataclasses.replace(values, fine_tune=True))
    assert len(frozen) == 1 and not any(p.requires_grad for p in network.model.parameters())
    before = network.model.bn1.running_mean.clone()
    network.train()(IMAGES)
    assert not torch.equal(network.model.bn1.running_mean, before)  # published


@pytest.mark.parametrize(
    "height, stride, rows", [(256, 2, 8), (384, 2, 12), (256, 1, 16), (250, 2, 8), (33, 1, 3)]
)
def test_rows_of_the_map(height, stride, rows):
    shape = dataclasses.replace(TINY, last_conv_stride=stride)
    assert shape.map_rows(height) == rows
    maps = []
    network = ReidNetwork(shape, 2).eval()
    network.model.layer4.register_forward_hook(lambda *call: maps.append(call[2]))
    network(torch.zeros(1, 3, height, 32))
    assert maps[0].shape[2] == rows


def test_shapes_of_parameters():
    values = params_from(
        {
            "encore": {"state": "H", "width": 8},
            "model_params": {
                "model": "resnet_34",
                "feature_dim": 64,
                "pcb_n_parts": 4,
                "last_conv_stride": 1,
                "spectral_trans": 0.3,
                "feature_gobal_dim": 16,
            },
        },
        "test",
    )[0]
    shape = NetworkShape.of(values)
    assert shape == NetworkShape("H", "resnet_34", 64, 4, 1, 0.3, False, 16, 8)
    assert shape.features == 80
    assert NetworkShape.of(params_from({"encore": {"state": "S"}}, "test")[0]) == NetworkShape()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"state": "T"}, "expected the state S or H"),
        ({"model": "resnet_19"}, "and a model of resnet_18"),
        ({"pcb_n_parts": 3}, "feature_dim: expected a multiple of pcb_n_parts, 3, found 8"),
        ({"feature_mask": True}, "belong to H"),
        ({"feature_gobal_dim": 4}, "belong to H"),
        ({"spectral_trans": 0.3}, "belong to H"),
    ],
)
def test_shapes_that_are_refused(changes, message):
    with pytest.raises(Refusal, match=message):
        dataclasses.replace(TINY, **changes)


def test_too_few_rows_are_refused_by_the_network():
    with pytest.raises(Refusal, match="cut into 4 parts, found one of 2 rows, which gives 2: raise img_h"):
        tiny(pcb_n_parts=4)(IMAGES)


def test_no_classes_are_refused_unless_nothing_classifies():
    with pytest.raises(Refusal, match="expected 1 identity at least, found 0"):
        tiny(classes=0)
    assert tiny(classes=0, classification=False).eval()(IMAGES).shape == (4, 8)
