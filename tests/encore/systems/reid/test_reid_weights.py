import collections
import hashlib

import pytest
import torch

from encore.models.resnet import BasicBlock, ResNet
from encore.runtime.refusal import Refusal
from encore.systems.reid.network import NetworkShape, ReidNetwork
from encore.systems.reid.weights import load_imagenet, load_weights, read_weights, with_prefix_of

SHAPE = NetworkShape(model="resnet_18", feature_dim=8, pcb_n_parts=0, width=2, layers=(1, 1, 1, 1))


def network(seed, classes=3):
    torch.manual_seed(seed)
    return ReidNetwork(SHAPE, classes)


def saved(path, state):
    torch.save(state, str(path))
    return str(path)


def backbone(seed=5, **options):
    torch.manual_seed(seed)
    return ResNet((1, 1, 1, 1), 2, classes=10, block=BasicBlock, **options).state_dict()


def same(a, b):
    return all(torch.equal(a[key], b[key]) for key in b)


def test_a_model_of_one_or_of_several_gpus_loads(tmp_path):
    source = network(1).state_dict()
    for prefix in ("", "module."):
        target = network(2)
        state = collections.OrderedDict((prefix + key, value) for key, value in source.items())
        loaded = load_weights(target, saved(tmp_path / "model.pth", state))
        assert loaded == ((), ()) and same(target.state_dict(), source)


def test_the_first_key_decides_about_the_prefix():
    assert list(with_prefix_of({"module.a": 1, "module.b.module.c": 2}, ["a"])) == ["a", "b.module.c"]
    assert list(with_prefix_of({"a": 1, "se_module.b": 2}, ["module.a"])) == [
        "module.a",
        "module.se_module.b",
    ]
    assert list(with_prefix_of({"se_module.a": 1}, ["se_module.a"])) == ["se_module.a"]
    assert list(with_prefix_of({"module.se_module.a": 1, "b": 2}, ["se_module.a"])) == ["se_module.a", "b"]


def test_missing_keys_are_named_and_unexpected_ones_left_out(tmp_path):
    target, state = network(2), network(1).state_dict()
    before = target.classifier.bias.clone()
    del state["classifier.bias"]
    state["fc_g.0.weight"] = torch.zeros(3)
    loaded = load_weights(target, saved(tmp_path / "model.pth", state))
    assert loaded == (("classifier.bias",), ("fc_g.0.weight",))
    assert torch.equal(target.classifier.bias, before)
    assert torch.equal(target.fc.weight, state["fc.weight"])


def test_another_number_of_identities_is_refused(tmp_path):
    path = saved(tmp_path / "model.pth", network(1, classes=4).state_dict())
    with pytest.raises(
        Refusal, match=r"model.pth: classifier.weight has the shape \(4, 8\), expected \(3, 8\)"
    ):
        load_weights(network(2), path)


@pytest.mark.parametrize("content", [[1], {}, {"a": 1}, {"state_dict": {"a": torch.zeros(1)}}])
def test_files_that_hold_no_weights_are_refused(content, tmp_path):
    with pytest.raises(Refusal, match="holds no weights: expected a state dict"):
        read_weights(saved(tmp_path / "model.pth", content))


def test_weights_of_another_network_are_refused(tmp_path):
    path = saved(tmp_path / "model.pth", {"blocks.0.weight": torch.zeros(2)})
    with pytest.raises(Refusal, match="none of its 1 tensors belongs to the network, the first is blocks.0"):
        load_weights(network(2), path)


def test_imagenet_weights_go_into_the_backbone(tmp_path):
    state, target = backbone(), network(2)
    heads = target.fc.weight.clone()
    path = saved(tmp_path / "resnet.pth", state)
    digest = hashlib.sha256((tmp_path / "resnet.pth").read_bytes()).hexdigest()
    assert load_imagenet(target, path, digest) == ((), ())
    del state["fc.weight"], state["fc.bias"]
    assert same(target.model.state_dict(), state) and torch.equal(target.fc.weight, heads)


def test_imagenet_files_of_before_batch_counters_load(tmp_path):
    state = {key: value for key, value in backbone().items() if not key.endswith("num_batches_tracked")}
    loaded = load_imagenet(network(2), saved(tmp_path / "resnet.pth", state))
    assert all(key.endswith("num_batches_tracked") for key in loaded.missing) and loaded.missing


def test_an_incomplete_imagenet_file_is_refused(tmp_path):
    state = backbone()
    del state["layer3.0.bn1.running_var"], state["layer4.0.conv1.weight"]
    with pytest.raises(
        Refusal, match="lacks 2 tensors of the backbone, the first is layer3.0.bn1.running_var"
    ):
        load_imagenet(network(2), saved(tmp_path / "resnet.pth", state))


def test_imagenet_digests_are_checked(tmp_path):
    path = saved(tmp_path / "resnet.pth", backbone())
    with pytest.raises(Refusal, match="expected " + "0" * 64):
        load_imagenet(network(2), path, "0" * 64)
    named = saved(tmp_path / "resnet18-00000000.pth", backbone())
    with pytest.raises(Refusal, match="its name says 00000000"):
        load_imagenet(network(2), named)
    with pytest.raises(Refusal, match="missing"):
        load_imagenet(network(2), str(tmp_path / "none.pth"))
