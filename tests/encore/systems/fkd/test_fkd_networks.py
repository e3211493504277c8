"""Teachers and students: their shapes and seeds, the files they are read from, their published logits."""

import json
from collections import OrderedDict

import numpy as np
import pytest
import torch

from encore.runtime.parameters import from_mapping
from encore.runtime.refusal import Refusal
from encore.systems.fkd.networks import (
    PUBLISHED_TEACHERS,
    NetworkShape,
    build,
    frozen,
    load_weights,
    published_teacher,
)
from encore.training.published_weights import check_named_digest
from tests.encore.systems.fkd.formula_weights import formula_weights
from tests.golden_files import golden

SMALL = NetworkShape(classes=5, width=2, layers=(1, 1, 1, 1))
VIT = NetworkShape("vit", classes=5, width=8, patch=8, depth=2, heads=2)


def equal(one, other):
    return list(one) == list(other) and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture(scope="module")
def teacher():
    """The formula teacher of the published outputs."""
    return frozen(formula_weights(build(NetworkShape(classes=5), seed=0), 101))


@pytest.mark.parametrize("labels", ["cutmix_fp16", "mixup_fp16", "none_fp32"])
def test_logits_of_the_published_code(labels, teacher):
    with open(golden("fkd/relabel/%s.json" % labels), encoding="utf-8") as file:
        content = json.load(file)
    assert content["config"]["teacher_seed"] == 101
    (row,) = [row for row in content["rows"] if (row["epoch"], row["batch"]) == (1, 2)]
    batch = np.load(str(golden("fkd/relabel/%s.npz" % labels)))["epoch1_batch2_teacher_input"]
    with torch.no_grad():
        logits = teacher(torch.from_numpy(batch))
    expected = torch.tensor(row["logits_float32"])
    assert logits.shape == expected.shape == (8, 5) and logits.dtype == torch.float32
    assert expected.abs().max() > 10
    assert (logits - expected).abs().max() < 1e-4


def test_frozen_changes_no_statistics_and_asks_for_no_gradient():
    network = frozen(build(SMALL, seed=1))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert not network(torch.randn(4, 3, 32, 32)).requires_grad
    assert equal(before, network.state_dict())


@pytest.mark.parametrize(
    "name, parameters",
    [
        ("resnet18", 11689512),
        ("resnet34", 21797672),
        ("resnet50", 25557032),
        ("resnet101", 44549160),
        ("resnet152", 60192808),
        ("vit_tiny", 5717416),
    ],
)
def test_published_sizes(name, parameters):
    assert sum(parameter.numel() for parameter in build(NetworkShape(name), 0).parameters()) == parameters


@pytest.mark.parametrize("shape", [SMALL, VIT], ids=["resnet", "vit"])
def test_initial_weights_follow_the_seed_and_leave_the_global_generator(shape):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = build(shape, 7, 32).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(4)
    assert equal(first, build(shape, 7, 32).state_dict())
    other = build(shape, 8, 32).state_dict()
    drawn = [key for key, value in first.items() if value.dim() > 1 and value.abs().max() > 0]
    assert drawn and not any(torch.equal(first[key], other[key]) for key in drawn)


def test_small_stem_and_vision_transformer_give_logits():
    stem = build(NetworkShape(classes=5, width=2, layers=(1, 1, 1, 1), small_stem=True), 0)
    assert stem.conv1.kernel_size == (3, 3)
    assert stem(torch.randn(2, 3, 32, 32)).shape == (2, 5)
    assert build(VIT, 0, 32)(torch.randn(2, 3, 32, 32)).shape == (2, 5)
    with pytest.raises(Refusal, match="patches of 8 pixels do not divide pictures of 30"):
        build(VIT, 0, 30)


def test_shape_from_parameters():
    section = {"name": "resnet50", "width": 8, "layers": [1, 1, 1, 1], "classes": 10}
    shape = from_mapping(NetworkShape, section, "params.yaml: fkd.network")
    assert shape == NetworkShape("resnet50", 10, width=8, layers=(1, 1, 1, 1))
    with pytest.raises(Refusal, match=r"fkd.network.classes: expected 1 to"):
        from_mapping(NetworkShape, {"classes": 0}, "params.yaml: fkd.network")


@pytest.mark.parametrize(
    "values, message",
    [
        ({"name": ""}, "needs a name"),
        ({"classes": 0}, "classes must be 1 at least"),
        ({"width": 0}, "width must be 1 at least"),
        ({"layers": (2, 2, 2)}, "four counts of blocks"),
        ({"layers": (2, 2, 0, 2)}, "four counts of blocks"),
        ({"patch": 8}, "resnet18 has no value patch"),
        ({"name": "vit_tiny", "small_stem": True}, "vit_tiny has no value small_stem"),
        ({"name": "mobilenet_v2", "width": 32}, "mobilenet_v2 has no value width"),
        ({"name": "vit", "width": 8, "patch": 8, "depth": 2}, "vit: give heads"),
        ({"name": "vit_tiny", "heads": 5}, r"width \(192\) must be a multiple of heads \(5\)"),
    ],
)
def test_shapes_that_cannot_be_are_refused(values, message):
    with pytest.raises(Refusal, match=message):
        NetworkShape(**values)


def test_networks_of_torchvision():
    network = build(NetworkShape("mobilenet_v2", classes=7), 0)
    assert network.classifier[1].out_features == 7
    assert equal(network.state_dict(), build(NetworkShape("mobilenet_v2", classes=7), 0).state_dict())
    for name in ("resnet19", "fasterrcnn_resnet50_fpn"):  # the second would download the weights of its body
        with pytest.raises(Refusal, match="%s: torchvision has no such classifier" % name):
            build(NetworkShape(name), 0)


def test_torchvision_that_cannot_be_imported_is_refused(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchvision", None)
    with pytest.raises(Refusal, match="expected the package torchvision, found none"):
        build(NetworkShape("mobilenet_v2"), 0)


def holders(state):
    """The published forms of a file, by the name of who writes it."""
    prefixed = OrderedDict(("module." + key, value) for key, value in state.items())
    old = OrderedDict((key, value) for key, value in state.items() if "num_batches" not in key)
    return {
        "torchvision": state,
        "old torchvision": old,
        "Tiny-ImageNet": {"model": state, "epoch": 49, "optimizer": {"state": {}, "param_groups": []}},
        "CIFAR-100": {"state_dict": prefixed, "acc": 78.72, "epoch": 199},
        "student": {"epoch": 300, "state_dict": prefixed, "best_acc1": torch.tensor(46.8), "encore": {}},
        "bare with prefix": prefixed,
    }


@pytest.mark.parametrize("form", list(holders({})))
def test_files_in_each_published_form(form, tmp_path):
    state = build(SMALL, 1).state_dict()
    torch.save(holders(state)[form], str(tmp_path / "weights.pth"))
    network = build(SMALL, 2)
    network.bn1.num_batches_tracked += 5
    assert load_weights(network, str(tmp_path / "weights.pth")) is network
    assert equal(network.state_dict(), state)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda state: state.pop("layer3.0.bn2.weight"), "lacks layer3.0.bn2.weight"),
        (lambda state: state.update(extra=torch.zeros(1)), "holds extra, which this network has not"),
        (
            lambda state: state.update({"fc.weight": torch.zeros(4, 16)}),
            r"holds fc.weight of shape \(4, 16\), expected \(5, 16\)",
        ),
        (lambda state: state.update(epoch=3), "holds epoch, which is no tensor"),
        (lambda state: state.clear(), "holds no weights"),
        (
            lambda state: state["layer2.0.bn1.running_var"][0].fill_(float("inf")),
            "holds NaN or infinity in layer2.0.bn1.running_var: take the file again",
        ),
        (lambda state: state["conv1.weight"][0, 0, 0].fill_(float("nan")), "holds NaN or inf.* conv1.weight"),
    ],
)
def test_files_of_another_network_are_refused(change, message, tmp_path):
    state = OrderedDict(build(SMALL, 1).state_dict())
    change(state)
    torch.save({"state_dict": state}, str(tmp_path / "weights.pth"))
    network = build(SMALL, 2)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(Refusal, match="weights.pth " + message):
        load_weights(network, str(tmp_path / "weights.pth"))
    assert equal(before, network.state_dict())


def test_published_teachers_are_networks_of_ours():
    assert [teacher.network for teacher in PUBLISHED_TEACHERS] == ["resnet18", "resnet50", "resnet101"]
    for teacher in PUBLISHED_TEACHERS:
        assert NetworkShape(teacher.network).classes == 1000
        assert teacher.file.startswith(teacher.network + "-") and 69 < teacher.top1 < 78
        assert published_teacher("raw/" + teacher.file) is teacher
    assert published_teacher("raw/resnet18.pth") is None


def test_a_digest_in_a_name_must_be_the_files():
    digest = "f37072fd" + 56 * "0"
    for name in ("resnet18-f37072fd.pth", "a-00/resnet18.pth", "resnet18-f3707.pth", "resnet18-f37072fd.tar"):
        check_named_digest("raw/" + name, digest)
    with pytest.raises(
        Refusal, match=r"raw/b-0676ba61\.pth: its SHA-256 begins with f37072fd, its name says"
    ):
        check_named_digest("raw/b-0676ba61.pth", digest)
