"""Checkpoints: what torch itself writes, what a resume finds, what a strict load refuses."""

import copy
from collections import OrderedDict

import pytest
import torch

from encore.models.isc_network import CLASSIFIER_KEYS, IscNetwork, IscShape
from encore.runtime.refusal import Refusal
from encore.training import checkpoint
from encore.training.checkpoint_files import lambda_lr_state
from encore.training.distributed import Processes
from encore.training.learning_rate import isc_epoch_factor
from encore.training.optimizer_state import adam, load_adam_state, published_adam_state, trainable

SHAPE = IscShape((1, 1, 1, 1), 2, 16, 32, 8)


def stepped(network, optimizer, seed):
    draw = torch.Generator().manual_seed(seed)
    for parameter in trainable(network).values():
        parameter.grad = torch.randn(parameter.shape, generator=draw)
    optimizer.step()


def published_form(optimizer, scheduler):
    """What torch writes, without what versions after 1.7.1 added."""
    state = optimizer.state_dict()
    for values in state["state"].values():
        values["step"] = int(values["step"])
    kept = ("lr", "betas", "eps", "weight_decay", "amsgrad", "initial_lr", "params")
    state["param_groups"] = [{key: group[key] for key in kept} for group in state["param_groups"]]
    schedule = scheduler.state_dict()
    schedule.pop("_is_initial", None)
    return state, dict({"verbose": False}, **schedule)


def test_optimizer_and_scheduler_are_what_torch_writes():
    network = IscNetwork(SHAPE, classes=8)
    optimizer = adam(network, 0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, isc_epoch_factor)
    for epoch in range(3):
        stepped(network, optimizer, epoch)
        scheduler.step()
    expected, schedule = published_form(optimizer, scheduler)
    found = published_adam_state(network, optimizer, Processes(), 0.01 * isc_epoch_factor(3), 0.01)
    assert found["param_groups"] == expected["param_groups"]
    assert list(found["state"]) == list(expected["state"])
    for i, values in expected["state"].items():
        assert values["step"] == found["state"][i]["step"] == 3
        assert torch.equal(values["exp_avg"], found["state"][i]["exp_avg"])
        assert torch.equal(values["exp_avg_sq"], found["state"][i]["exp_avg_sq"])
    assert lambda_lr_state(0.01, 3, len(found["param_groups"]), isc_epoch_factor) == schedule
    torch.optim.Adam(optimizer.param_groups).load_state_dict(found)  # the published way to load


def test_a_loaded_optimizer_goes_on_in_the_same_bits():
    torch.manual_seed(1)
    first = IscNetwork(SHAPE, classes=8)
    optimizer = adam(first, 0.01)
    stepped(first, optimizer, 0)
    second = IscNetwork(SHAPE, classes=8)
    second.load_state_dict(first.state_dict())
    resumed = adam(second, 0.01)
    published = published_adam_state(first, optimizer, Processes(), 0.01, 0.01)
    load_adam_state(second, resumed, copy.deepcopy(published))  # torch would share the moments
    for network, step in ((first, optimizer), (second, resumed)):
        stepped(network, step, 1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters()))


def test_the_newest_is_found_by_progress_not_by_name(tmp_path):
    folder = str(tmp_path)
    assert checkpoint.find_newest(folder) is None and checkpoint.find_newest(folder + "/absent") is None
    for name in (
        "checkpoint_9.pth.tar",
        "checkpoint_10.pth.tar",
        "work_3_5.pth.tar",
        "checkpoint_11.pth.tar.tmp-5",
    ):
        (tmp_path / name).write_bytes(b"")
    assert checkpoint.find_newest(folder) == str(tmp_path / "checkpoint_10.pth.tar")
    (tmp_path / "work_11_2.pth.tar").write_bytes(b"")  # epochs 0 to 10 are done and 2 steps of epoch 11
    assert checkpoint.find_newest(folder) == str(tmp_path / "work_11_2.pth.tar")


def test_what_is_no_checkpoint_is_refused(tmp_path):
    torch.save({"state_dict": {}}, str(tmp_path / "file"))
    with pytest.raises(Refusal, match="missing epoch, optimizer, lr_scheduler"):
        checkpoint.load(str(tmp_path / "file"))


def test_stripping_drops_all_eight_blocks_and_the_published_strip_loads_too(tmp_path):
    torch.manual_seed(2)
    network = IscNetwork(SHAPE, classes=8)
    state = network.state_dict()
    torch.save(dict(state_dict=state, epoch=1, optimizer={}, lr_scheduler={}), str(tmp_path / "whole"))
    checkpoint.strip_file(str(tmp_path / "whole"), str(tmp_path / "ours"))
    four_left = OrderedDict((key, value) for key, value in state.items() if key not in CLASSIFIER_KEYS[:4])
    torch.save(four_left, str(tmp_path / "published"))
    assert len(state) - len(four_left) == 4
    images = torch.randn(2, 3, 32, 32)
    expected = network.eval().descriptor(images)
    for name in ("ours", "published"):
        for shape in (SHAPE, None):
            loaded = checkpoint.load_stripped(str(tmp_path / name), shape)
            assert loaded.shape == SHAPE and torch.equal(loaded.descriptor(images), expected)
    assert not set(torch.load(str(tmp_path / "ours"))) & set(CLASSIFIER_KEYS)


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda state: state.pop("base.10.p"), r"missing: base\.10\.p"),
        (lambda state: state.update({"base.0.bias": torch.ones(2)}), r"unknown: base\.0\.bias"),
        (
            lambda state: state.update({"base.10.p": torch.ones(2)}),
            r"shape: base\.10\.p \(2,\) instead of \(1,\)",
        ),
    ],
)
def test_a_strict_load_names_what_does_not_fit(tmp_path, change, named):
    state = IscNetwork(SHAPE).state_dict()
    change(state)
    torch.save(state, str(tmp_path / "stripped"))
    with pytest.raises(Refusal, match=named):
        checkpoint.load_stripped(str(tmp_path / "stripped"), SHAPE)
    torch.save({"state_dict": state}, str(tmp_path / "whole"))
    with pytest.raises(Refusal, match="no stripped state dict"):
        checkpoint.load_stripped(str(tmp_path / "whole"), SHAPE)


def test_the_shape_is_read_off_the_weights():
    for shape in (SHAPE, IscShape((3, 4, 2, 1), 4, 24, 40, None)):
        assert checkpoint.shape_of(IscNetwork(shape).state_dict(), "here") == shape
    with pytest.raises(Refusal, match="here does not hold the network's weights"):
        checkpoint.shape_of({"base.0.weight": torch.ones(1)}, "here")


@pytest.mark.parametrize("shape", [SHAPE, IscShape((1, 2, 3, 1), 4, 24, 40, None), IscShape(ibn=True)])
def test_the_weights_of_a_shape_are_those_of_its_network(shape):
    counted = sum(value.numel() for value in IscNetwork(shape).parameters() if value.dim() > 1)
    assert shape.weights == counted


@pytest.mark.parametrize(
    "change",
    [
        {"base.4.99999999.conv1.weight": torch.ones(1)},
        {"base.0.weight": torch.ones(1).expand(100000)},
        {"projector_feat_bn.0.3.weight": torch.ones(1, 1).expand(50000, 16)},
        {"projector_feat_bn.0.0.weight": torch.ones(0, 64), "projector_feat_bn.0.3.weight": torch.ones(9, 0)},
    ],
)
def test_a_small_file_makes_no_large_network(tmp_path, change):
    torch.save(dict(IscNetwork(SHAPE).state_dict(), **change), str(tmp_path / "stripped"))
    with pytest.raises(Refusal, match="stripped names a network of [0-9]+ weights and holds [0-9]+ bytes"):
        checkpoint.load_stripped(str(tmp_path / "stripped"))


def test_keys_that_are_no_names_are_refused(tmp_path):
    torch.save(dict(IscNetwork(SHAPE).state_dict(), **{"x": 3}), str(tmp_path / "number"))
    torch.save({"base.0.weight": torch.ones(2), 1: torch.ones(1)}, str(tmp_path / "key"))
    for name in ("number", "key"):
        with pytest.raises(Refusal, match=name + " is no stripped state dict"):
            checkpoint.load_stripped(str(tmp_path / name))
