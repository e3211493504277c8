"""The descriptor network: published keys, sizes and numbers; necks, pooling, the stand-in."""

import importlib.util
import json
import math
import sys

import numpy as np
import pytest
import torch

from encore.runtime.parameters import from_mapping
from encore.runtime.refusal import Refusal
from encore.systems.drip import network as drip_network
from encore.systems.drip.network import (
    DripNetwork,
    FlatGeM,
    Highway,
    NetworkShape,
    UnitNorm,
    build,
    load_backbone,
    neck,
    timm_network,
    with_gem,
)
from encore.training.distributed import Processes
from tests.encore.systems.drip.drip_formula import clean_views, formula_weights
from tests.golden_files import golden

needs_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
SMALL = NetworkShape("resnet", embedding=16, width=4, layers=(1, 1, 1, 1), small_stem=True)


def content(name):
    with open(golden("drip/" + name), encoding="utf-8") as file:
        return json.load(file)


@pytest.fixture(scope="module")
def arrays():
    return {key: torch.from_numpy(value) for key, value in np.load(str(golden("drip/model.npz"))).items()}


@pytest.fixture(scope="module")
def published():
    """eca_nfnet_l1 with the formula weights, 40 classes."""
    return formula_weights(build(NetworkShape(), seed=0, classes=40)).eval()


def close(found, expected, relative):
    """Whether two flat lists differ by at most `relative` of the norm of the second."""
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    return np.linalg.norm(found - expected) <= relative * np.linalg.norm(expected)


@needs_timm
def test_published_keys_shapes_and_order(published):
    expected = [(key, tuple(shape)) for key, shape in content("state_keys.json")["entries"]]
    assert len(expected) == 342
    assert [(key, tuple(value.shape)) for key, value in published.state_dict().items()] == expected


@needs_timm
def test_published_sizes(published):
    with_classifier = timm_network("eca_nfnet_l1")
    count = sum(parameter.numel() for parameter in with_classifier.parameters())
    assert (len(list(with_classifier.parameters())), count) == (341, 41407728)
    pooled, features = with_gem(with_classifier, 3.0, "eca_nfnet_l1")
    assert features == 3072
    assert sum(parameter.numel() for parameter in pooled.parameters()) == 38334728 + 1
    total = sum(parameter.numel() for parameter in published.parameters())
    assert total == 39131401 == 39121161 + 256 * 40 == content("model.json")["n_parameters"]


@needs_timm
def test_descriptors_of_the_published_code(published, arrays):
    expected = content("model.json")["forward"]
    with torch.no_grad():
        views = clean_views()
        pooled = published.backbone[0](views)
        descriptors = published(views)
        projected = published.criterion.project(descriptors)
        feature_map = published.backbone[0].forward_features(views)
    assert list(feature_map.shape) == expected["feature_map"]["shape"] == [2, 3072, 5, 5]
    assert feature_map.double().norm().item() == pytest.approx(expected["feature_map"]["l2"], rel=1e-5)
    assert close(pooled[:, :64].flatten(), arrays["pooled_first64"].flatten(), 1e-5)
    assert (descriptors - arrays["embedding"]).abs().max() <= 1e-5
    assert (projected - arrays["project"]).abs().max() / 40 <= 1e-5


@needs_timm
@pytest.mark.parametrize("case", ["loss_plain", "loss_fallback"])
def test_loss_and_gradients_of_the_published_code(published, arrays, case):
    expected = content("model.json")[case]
    kernel = published.criterion.kernel.detach().clone()
    changed = kernel.clone()
    if case == "loss_fallback":
        changed[:, [3, 17]] = arrays["fallback_kernel_cols_3_17"]
    published.criterion.set_kernel(changed)
    published.zero_grad()
    descriptors = published(clean_views())
    labels = torch.tensor(expected["labels"])
    loss, predictions = published.criterion(descriptors, labels)
    loss.backward()
    assert loss.item() == pytest.approx(expected["loss"], rel=1e-4)
    cosines = published.criterion.cosines(descriptors).detach()
    assert (cosines - arrays[case + "_cos"]).abs().max() <= 1e-5
    assert torch.equal(predictions, arrays[case + "_cos"].argmax(1))
    found = dict(published.named_parameters())
    for name, of_name in expected["grads"].items():
        gradient = found[name].grad.flatten().double()
        assert gradient.norm().item() == pytest.approx(of_name["l2"], rel=1e-3), name
        assert gradient.abs().sum().item() == pytest.approx(of_name["abs_sum"], rel=1e-3), name
        places = np.abs(np.array(of_name["first16"]) - gradient[:16].numpy())
        assert places.max() <= 1e-3 * of_name["l2"], name
    columns = found["criterion.kernel"].grad[:, labels]
    assert close(columns.flatten(), arrays[case + "_gkernel_labelcols"].flatten(), 1e-3)
    total = math.sqrt(sum(parameter.grad.double().pow(2).sum().item() for parameter in found.values()))
    assert total == pytest.approx(expected["total_grad_norm"], rel=1e-3)
    published.criterion.set_kernel(kernel)


@needs_timm
def test_loss_after_the_centroids_are_set(published, arrays):
    expected = content("model.json")["W_loss_after_set"]
    head = drip_network.ArcFace(256, 6)
    head.set_kernel(arrays["W_full"])
    with torch.no_grad():
        loss = head(published(clean_views()), torch.tensor(expected["labels"])).loss
    assert loss.item() == pytest.approx(expected["loss"], rel=1e-4)


@needs_timm
@pytest.mark.parametrize(
    "name, features, pool",
    [
        ("efficientnet_b0", 1280, "global_pool"),
        ("resnet18", 512, "global_pool"),
        ("eca_nfnet_l0", 2304, None),
    ],
)
def test_other_backbones_have_their_pooling_replaced(name, features, pool):
    pooled, found = with_gem(timm_network(name), 3.0, name)
    pool = pool or "head.global_pool"
    assert found == features and isinstance(pooled.get_submodule(pool), FlatGeM)
    with torch.no_grad():
        images = torch.randn(1, 3, 64, 64)
        expected = FlatGeM(3.0)(pooled.eval().forward_features(images))
        assert torch.allclose(pooled(images), expected, rtol=1e-5)


@needs_timm
def test_backbones_that_do_not_fit_are_refused():
    with pytest.raises(Refusal, match="backbone eca_nfnet_l9: timm .* has no such network"):
        build(NetworkShape("eca_nfnet_l9"), 0)
    with pytest.raises(Refusal, match="backbone vit_tiny_patch16_224: expected a module"):
        build(NetworkShape("vit_tiny_patch16_224"), 0)


def test_without_timm_its_networks_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(Refusal, match="backbone eca_nfnet_l1 comes from timm, .* choose the backbone resnet"):
        build(NetworkShape(), 0)
    assert build(SMALL, 0, 5)(torch.randn(2, 3, 32, 32)).shape == (2, 16)


@pytest.mark.parametrize("p", ["1", "3", "4.5"])
def test_gem_of_the_published_code(arrays, p):
    found = FlatGeM(float(p))(arrays["gem_in"])
    assert close(found.detach().flatten(), arrays["gem_p" + p].flatten(), 1e-5)


def test_gem_by_hand():
    # channel one: -1 .. .75, of which .25, .5, .75 are above 1e-6: ((1 + 8 + 27) / 64 / 8)^(1/3)
    x = torch.arange(-1, 3, 0.25).reshape(1, 2, 2, 4)
    second = (sum((n / 4) ** 3 for n in range(4, 12)) / 8) ** (1 / 3)
    assert FlatGeM(3.0)(x).tolist()[0] == pytest.approx([(36 / 512) ** (1 / 3), second], rel=1e-5)
    assert FlatGeM(3.0)(x).tolist()[0] == pytest.approx([0.412741, 2.035813], abs=1e-6)


def test_epsilon_is_added_to_the_norm():
    """Published quirk; F.normalize would give exactly (.6, .8)."""
    found = UnitNorm()(torch.tensor([[3e-6, 4e-6], [0, 0]], dtype=torch.float64))
    assert found.tolist() == [[pytest.approx(3 / 6), pytest.approx(4 / 6)], [0, 0]]
    assert UnitNorm()(torch.ones(1, 4, dtype=torch.float16)).dtype == torch.float32


@pytest.mark.parametrize(
    "name, kinds, parameters",
    [
        ("A", ["Linear"], 6 * 4 + 4),
        ("B", ["Linear", "PReLU"], 6 * 4 + 4 + 1),
        ("C", ["Highway", "Linear", "PReLU"], 2 * 42 + 28 + 1),
        ("D", ["Highway", "PReLU", "Linear"], 2 * 42 + 1 + 28),
        ("E", ["Highway", "Linear"], 2 * 42 + 28),
        ("F", ["Linear"], 6 * 4),
        ("G", ["Highway", "PReLU", "Linear"], 42 + 36 + 1 + 24),
    ],
)
def test_necks(name, kinds, parameters):
    layers = neck(name, 6, 4)
    assert [type(layer).__name__ for layer in layers] == kinds
    assert sum(value.numel() for layer in layers for value in layer.parameters()) == parameters
    assert torch.nn.Sequential(*layers)(torch.randn(2, 6)).shape == (2, 4)


def test_highway_mixes_by_its_gate():
    highway = Highway(2)
    with torch.no_grad():
        highway.H.weight.copy_(2 * torch.eye(2))
        highway.H.bias.fill_(1)
        highway.T.weight.zero_()
        highway.T.bias.copy_(torch.tensor([math.log(3), 50.0]))  # gates 3/4 and 1
    assert highway(torch.tensor([[4.0, 5.0]])).tolist()[0] == pytest.approx([4 / 4 + 9 * 3 / 4, 11])


def test_keys_of_a_small_network_follow_the_published_form():
    network = build(SMALL, 3, classes=7)
    state = network.state_dict()
    assert list(state)[-2:] == ["backbone.1.weight", "criterion.kernel"]
    assert state["backbone.1.weight"].shape == (16, 32) and state["criterion.kernel"].shape == (16, 7)
    assert state["backbone.0.avgpool.p"].tolist() == [3.0]
    descriptors = network(torch.randn(4, 3, 32, 32))
    assert descriptors.norm(dim=1).tolist() == pytest.approx([1] * 4, abs=1e-4)
    network.criterion(descriptors, torch.tensor([0, 1, 2, 6])).loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert not any("criterion" in key for key in build(SMALL, 3).state_dict())


def test_initial_weights_follow_the_seed_and_leave_the_global_generator():
    state = torch.get_rng_state()
    first, again, other = (build(SMALL, seed, 7).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["criterion.kernel"], other["criterion.kernel"])
    share = build(SMALL, 1, 7, processes=Processes(1, 2)).criterion.kernel  # round half to even: 4 and 3
    assert torch.equal(share, first["criterion.kernel"][:, 4:])


def test_start_weights_from_a_file(tmp_path):
    path = str(tmp_path / "backbone.pth")
    source, network = build(SMALL, 1), build(SMALL, 2)
    state = {key: value for key, value in source.backbone[0].state_dict().items() if key != "avgpool.p"}
    torch.save(dict(state, **{"fc.weight": torch.zeros(9, 32), "fc.bias": torch.zeros(9)}), path)
    with torch.no_grad():
        network.backbone[0].avgpool.p.fill_(2.5)
    assert load_backbone(network, path) is network
    assert all(torch.equal(network.backbone[0].state_dict()[key], value) for key, value in state.items())
    assert network.backbone[0].avgpool.p.item() == 2.5
    for change, message in (
        ({"conv1.weight": torch.zeros(1)}, "misshapes conv1.weight"),
        ({"conv9.weight": torch.zeros(1)}, "has the unknown conv9.weight"),
    ):
        torch.save(dict(state, **change), path)
        with pytest.raises(Refusal, match="backbone.pth " + message):
            load_backbone(network, path)
    for other in ({"a": 3}, {1: torch.ones(1)}):
        torch.save(other, path)
        with pytest.raises(Refusal, match="backbone.pth holds no weights"):
            load_backbone(network, path)
    torch.save({"bn1.weight": state["bn1.weight"]}, path)
    with pytest.raises(Refusal, match="backbone.pth lacks conv1.weight"):
        load_backbone(network, path)


def test_shape_from_parameters():
    section = {"backbone": "resnet", "width": 4, "layers": [1, 1, 1, 1], "embedding": 16, "small_stem": True}
    assert from_mapping(NetworkShape, section, "params.yaml: drip.network") == SMALL
    with pytest.raises(Refusal, match="drip.network.neck: expected one of A, B"):
        from_mapping(NetworkShape, {"neck": "H"}, "params.yaml: drip.network")


@pytest.mark.parametrize(
    "values, message",
    [
        ({"neck": "AB"}, "neck: expected one of A, B, C, D, E, F, G, found AB"),
        ({"embedding": 0}, "embedding must be 1 at least"),
        ({"gem_p": 0.0}, "gem_p above 0"),
        ({"backbone": "resnet"}, "give width and four layers"),
        ({"backbone": "resnet", "width": 4, "layers": (1, 1)}, "give width and four layers"),
        ({"width": 4}, "backbone eca_nfnet_l1: width, layers, small_stem and groups belong to resnet"),
    ],
)
def test_shapes_that_cannot_be_are_refused(values, message):
    with pytest.raises(Refusal, match=message):
        NetworkShape(**values)


def test_a_network_of_ones_own_backbone():
    network = DripNetwork(torch.nn.Flatten(), 12, NetworkShape(embedding=5), classes=3)
    assert network(torch.randn(2, 3, 2, 2)).shape == (2, 5)


def test_a_stand_in_without_batch_norm_answers_each_picture_alone():
    network = build(NetworkShape("resnet", 8, width=8, layers=(1, 1, 1, 1), groups=2), 0)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(network(images)[:1], network(images[:1]), atol=1e-6)
    with pytest.raises(Refusal, match="multiple of groups"):
        NetworkShape("resnet", 8, width=8, layers=(1, 1, 1, 1), groups=3)
    with pytest.raises(Refusal, match="groups belong to resnet"):
        NetworkShape(groups=2)
