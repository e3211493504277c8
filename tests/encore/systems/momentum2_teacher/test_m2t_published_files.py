"""The pickle of the backbone: what the published code reads, what is refused."""

import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from encore.models.isc_network import IscNetwork, IscShape
from encore.models.resnet import RESNET152_LAYERS, ResNet
from encore.runtime.refusal import Refusal
from encore.systems.isc.start_weights import load_start_weights
from encore.systems.momentum2_teacher.published_files import (
    backbone_of_teacher,
    check_backbone,
    read_backbone,
    write_backbone,
)

SHAPES = {
    "50": (IscShape(width=2), 318),
    "152": (IscShape(RESNET152_LAYERS, 2, matrix=None), 930),
    "ibn": (IscShape(width=2, matrix=None, ibn=True), 344),
}


def backbone(name, width=2):
    shape = SHAPES[name][0]
    torch.manual_seed(4)
    return ResNet(shape.layers, width, classes=None, ibn=shape.ibn)


def published_dump(path, state):
    """As the published tran.py writes it: torch's own pickling, by Python 3.7's protocol."""
    content = {"model": state, "__author__": "WENHAO", "matching_heuristics": True}
    with open(str(path), "wb") as file:
        pickle.dump(content, file, protocol=3)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_published_style_files_fit_their_backbone(name, tmp_path):
    path, (shape, tensors) = str(tmp_path / "start.pkl"), SHAPES[name]
    state = backbone(name).state_dict()
    published_dump(path, dict(state))
    assert len(state) == tensors
    check_backbone(path, shape)
    loaded = load_start_weights(IscNetwork(shape), path)
    assert len(loaded.loaded) == tensors and loaded.missing == () and loaded.unused == ()


def test_an_unrestricted_load_reads_what_is_written(tmp_path):
    state = backbone("ibn").state_dict()
    state["conv1.weight"] = state["conv1.weight"].transpose(0, 1).contiguous().transpose(0, 1)  # odd strides
    path = tmp_path / "start.pkl"
    write_backbone(str(path), state)
    with open(str(path), "rb") as file:
        content = pickle.load(file)
    assert content["__author__"] == "WENHAO" and content["matching_heuristics"] is True
    assert type(content["model"]) is dict and list(content["model"]) == list(state)
    network = backbone("ibn")
    network.load_state_dict(content["model"])  # strict
    for key, value in content["model"].items():
        assert type(value) is torch.Tensor and value.dtype == state[key].dtype
        assert torch.equal(value, state[key]) and value.shape == state[key].shape
    ours = read_backbone(str(path))
    assert all(torch.equal(value, state[key]) for key, value in ours.items())


def test_equal_backbones_give_equal_bytes(tmp_path):
    first, second = str(tmp_path / "first.pkl"), str(tmp_path / "second.pkl")
    state = backbone("ibn").state_dict()
    write_backbone(first, state)
    write_backbone(second, OrderedDict((key, value.clone()) for key, value in state.items()))
    with open(first, "rb") as one, open(second, "rb") as other:
        assert one.read() == other.read()


def test_arrays_and_bare_state_dicts_are_taken(tmp_path):
    state = backbone("ibn").state_dict()
    published_dump(tmp_path / "arrays.pkl", {key: value.numpy() for key, value in state.items()})
    torch.save(state, str(tmp_path / "bare.pth"))
    for name in ("arrays.pkl", "bare.pth"):
        found = read_backbone(str(tmp_path / name))
        assert list(found) == list(state) and all(torch.equal(found[key], state[key]) for key in state)
        check_backbone(str(tmp_path / name), SHAPES["ibn"][0])


def changed(state, change):
    state = dict(state)
    change(state)
    return state


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda state: state.pop("layer1.0.bn1.IN.bias"), r"lacks layer1\.0\.bn1\.IN\.bias \(1 such"),
        (lambda state: state.update(x=torch.ones(1)), r"has the unknown x \(1 such tensors of 344"),
        (lambda state: state.update({"conv1.weight": torch.ones(2, 2)}), r"another shape for conv1\.weight"),
        (lambda state: state.update({"conv1.weight": "text"}), r"conv1\.weight is no tensor"),
    ],
)
def test_other_files_are_refused(tmp_path, change, named):
    published_dump(tmp_path / "start.pkl", changed(backbone("ibn").state_dict(), change))
    with pytest.raises(Refusal, match=r"^[^\n]*start\.pkl[^\n]*%s[^\n]*$" % named):
        check_backbone(str(tmp_path / "start.pkl"), SHAPES["ibn"][0])


def test_what_holds_no_backbone_is_refused(tmp_path):
    for content in ([1, 2], {"model": [1]}):
        with open(str(tmp_path / "start.pkl"), "wb") as file:
            pickle.dump(content, file)
        with pytest.raises(Refusal, match=r"start\.pkl"):
            read_backbone(str(tmp_path / "start.pkl"))


def test_another_backbone_is_refused(tmp_path):
    write_backbone(str(tmp_path / "start.pkl"), backbone("152").state_dict())
    with pytest.raises(Refusal, match="lacks layer1.0.bn1.BN.bias"):
        check_backbone(str(tmp_path / "start.pkl"), SHAPES["ibn"][0])


def test_a_model_without_the_prefix_is_refused():
    model = {"module.teacher_encoder.conv1.weight": 1, "module.teacher_encoder.fc.0.bias": 2, "other": 3}
    assert list(backbone_of_teacher(model)) == ["conv1.weight"]
    with pytest.raises(Refusal, match="no key that starts with module.teacher_encoder"):
        backbone_of_teacher({"teacher_encoder.conv1.weight": np.ones(1)})
