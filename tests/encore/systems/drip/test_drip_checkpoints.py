"""Lightning containers: published forms, old names, restoring by shape, light ones."""

import os
import subprocess
import sys
import types
import warnings
from collections import OrderedDict

import pytest
import torch

from encore.runtime.refusal import Refusal
from encore.systems.drip.network import NetworkShape, build
from encore.systems.drip.published_checkpoints import (
    current_names,
    light,
    read_container,
    restore,
    write_checkpoint,
    write_light,
)

SMALL = NetworkShape("resnet", embedding=8, width=2, layers=(1, 1, 1, 1))
PUBLISHED_KEYS = [
    "epoch",
    "global_step",
    "pytorch-lightning_version",
    "state_dict",
    "callbacks",
    "optimizer_states",
    "lr_schedulers",
    "native_amp_scaling_state",
]


def published_content(state, callback):
    """As Lightning 1.4 lays it out: the state of a callback under its class."""
    return {
        "epoch": 18,
        "global_step": 421884,
        "pytorch-lightning_version": "1.4.9",
        "state_dict": state,
        "callbacks": {callback: {"monitor": "val_acc_epoch", "best_model_score": torch.tensor(0.9919)}},
        "optimizer_states": [{"state": {0: {"step": 3}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}],
        "lr_schedulers": [{"best": float("inf"), "num_bad_epochs": 0}],
        "native_amp_scaling_state": {"scale": 65536.0},
    }


def lightning_class(monkeypatch, module):
    """A class that pickle writes as `module`.ModelCheckpoint, while the patch lasts."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
    found = type("ModelCheckpoint", (), {"__module__": module})
    sys.modules[module].ModelCheckpoint = found
    return found


@pytest.mark.parametrize("form", [True, False])
def test_hyperparameters_in_a_class_of_lightning_are_passed_over(form, tmp_path):
    path, module = str(tmp_path / "last.ckpt"), "pytorch_lightning.utilities.parsing"
    with pytest.MonkeyPatch.context() as patch:
        callback = lightning_class(patch, module)
        kept = type("AttributeDict", (dict,), {"__module__": module})
        sys.modules[module].AttributeDict = kept
        content = published_content(OrderedDict(a=torch.ones(2)), callback)
        content["hyper_parameters"] = kept(lr=1e-3, name="eca_nfnet_l1")
        torch.save(content, path, _use_new_zipfile_serialization=form)
    found = read_container(path)
    assert found["state_dict"]["a"].tolist() == [1, 1]
    assert type(found["hyper_parameters"]).__name__ == "AttributeDict"


@pytest.mark.parametrize(
    "module", ["pytorch_lightning.callbacks.model_checkpoint", "modules.model_checkpoint"]
)
def test_a_published_container_is_read_without_lightning(module, tmp_path):
    path, state = str(tmp_path / "last.ckpt"), build(SMALL, 1, 5).state_dict()
    with pytest.MonkeyPatch.context() as patch:
        torch.save(published_content(state, lightning_class(patch, module)), path)
    assert module not in sys.modules
    found = read_container(path)
    assert list(found) == PUBLISHED_KEYS and module not in sys.modules
    assert all(torch.equal(found["state_dict"][key], value) for key, value in state.items())
    ((callback, values),) = found["callbacks"].items()
    assert (callback.__module__, callback.__name__) == (module, "ModelCheckpoint")
    assert values["best_model_score"].item() == pytest.approx(0.9919)
    assert found["lr_schedulers"][0]["best"] == float("inf")


class _Runs:
    def __init__(self, command, also=None):
        self.command, self.also = command, also

    def __reduce__(self):
        return os.system, (self.command,)


def test_code_in_a_container_is_refused_and_not_run(tmp_path):
    path, mark = str(tmp_path / "last.ckpt"), str(tmp_path / "mark")
    with pytest.MonkeyPatch.context() as patch:
        callback = lightning_class(patch, "pytorch_lightning.callbacks.model_checkpoint")
        content = dict(published_content(build(SMALL, 1, 5).state_dict(), callback), z=_Runs("touch " + mark))
        torch.save(content, path)
    with pytest.raises(Refusal, match="last.ckpt asks to run (posix|os).system when loaded"):
        read_container(path)
    assert not os.path.exists(mark)


def test_damaged_and_other_files_are_refused(tmp_path):
    path = str(tmp_path / "last.ckpt")
    with pytest.raises(Refusal, match="expected a torch file at .*last.ckpt, found none"):
        read_container(path)
    torch.save({"epoch": 3, "global_step": 9, "state_dict": {}}, path)
    with pytest.raises(Refusal, match="last.ckpt is no Lightning checkpoint: .* pytorch-lightning_version"):
        read_container(path)
    torch.save(published_content({1: torch.ones(2)}, "callback"), path)
    with pytest.raises(
        Refusal, match="last.ckpt is no Lightning checkpoint: .* the weights under state_dict"
    ):
        read_container(path)
    with open(path, "rb+") as file:
        file.truncate(os.path.getsize(path) // 2)
    with pytest.raises(Refusal, match="last.ckpt is damaged"):
        read_container(path)


def test_what_we_write_has_the_published_keys_and_comes_back(tmp_path):
    path, network = str(tmp_path / "last.ckpt"), build(SMALL, 1, 5)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    network.criterion(network(torch.randn(4, 3, 64, 64)), torch.arange(4)).loss.backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.9, patience=2)
    scaler = torch.cuda.amp.GradScaler(enabled=False)
    write_checkpoint(
        path, network, 4, 1250, [optimizer], [schedule], scaler, {"ModelCheckpoint": {"best": 0.5}}
    )
    found = read_container(path)
    assert list(found) == [key for key in PUBLISHED_KEYS if key != "native_amp_scaling_state"] + [
        "native_amp_scaling_state"
    ]
    assert (found["epoch"], found["global_step"]) == (5, 1250)
    other = build(SMALL, 2, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restored = restore(other, found["state_dict"], path)
    assert restored.kept == () and set(restored.copied) == set(network.state_dict())
    assert all(torch.equal(other.state_dict()[key], value) for key, value in network.state_dict().items())
    again = torch.optim.Adam(other.parameters(), lr=1e-3)
    again.load_state_dict(found["optimizer_states"][0])
    one, two = (opt.state_dict()["state"][0]["exp_avg"] for opt in (optimizer, again))
    assert torch.equal(one, two)
    write_checkpoint(path, network, 0, 1, ours={"seed": 3})
    assert list(read_container(path))[-1] == "encore" and read_container(path)["encore"] == {"seed": 3}


def test_the_kernel_of_other_classes_stays_random():
    """Published quirk: C grows from stage to stage, so the kernel is never the previous stage's."""
    previous, network = build(SMALL, 1, 5), build(SMALL, 2, 9)
    before = network.criterion.kernel.detach().clone()
    with pytest.warns(
        UserWarning, match="last.ckpt: 1 of .* keep their value, the first is criterion.kernel"
    ):
        restored = restore(network, previous.state_dict(), "last.ckpt")
    assert restored.kept == ("criterion.kernel",) and torch.equal(network.criterion.kernel, before)
    assert torch.equal(network.backbone[1].weight, previous.backbone[1].weight)
    for_inference = build(SMALL, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert restore(for_inference, previous.state_dict(), "last.ckpt").kept == ()


@pytest.mark.parametrize(
    "backbone, neck",
    [
        ("ref_backbone.", "ref_neck.0."),
        ("ref_backbone.module.0.", "ref_neck.0."),
        ("ref_backbone.0.", "ref_backbone.1."),
        ("backbone.module.0.", "backbone.module.1."),
    ],
)
def test_old_names(backbone, neck):
    source, network = build(SMALL, 1, 5), build(SMALL, 2, 5)
    old = OrderedDict()
    for key, value in source.state_dict().items():
        old[key.replace("backbone.0.", backbone).replace("backbone.1.", neck)] = value
    assert not set(old) & {"backbone.0.conv1.weight", "backbone.1.weight"}
    assert list(current_names(old))[: len(old)] == list(source.state_dict())
    assert restore(network, old, "old.ckpt").kept == ()
    assert all(torch.equal(network.state_dict()[key], value) for key, value in source.state_dict().items())


def test_todays_names_go_before_old_ones():
    found = current_names({"backbone.1.weight": torch.ones(1), "ref_neck.0.weight": torch.zeros(1)})
    assert found["backbone.1.weight"].item() == 1


def test_a_file_of_nothing_that_fits_is_refused():
    with pytest.raises(Refusal, match="other.ckpt fits no tensor of this network"):
        restore(build(SMALL, 1, 5), {"backbone.1.weight": torch.zeros(3)}, "other.ckpt")


def test_light_checkpoints(tmp_path):
    network = build(SMALL, 1, 5)
    optimizer = torch.optim.Adam(network.parameters())
    for name in ("a.ckpt", "b.ckpt"):
        write_checkpoint(str(tmp_path / name), network, 4, 1250, [optimizer])
    written = write_light(str(tmp_path / "*.ckpt"))
    assert written == [str(tmp_path / "a_LIGHT.ckpt"), str(tmp_path / "b_LIGHT.ckpt")]
    found = read_container(written[0])
    assert list(found) == ["epoch", "global_step", "pytorch-lightning_version", "state_dict"]
    expected = [key for key in network.state_dict() if "criterion" not in key]
    assert list(found["state_dict"]) == expected
    assert light(read_container(str(tmp_path / "a.ckpt"))).keys() == found.keys()
    with pytest.warns(UserWarning, match="criterion.kernel"):
        assert restore(build(SMALL, 2, 5), found["state_dict"], written[0]).kept == ("criterion.kernel",)
    assert write_light(str(tmp_path / "*.ckpt")) == written
    assert write_light(*sorted(map(str, tmp_path.iterdir())), str(tmp_path / "a*")) == written  # each once
    (tmp_path / "b_LIGHT.ckpt").unlink()
    with pytest.raises(Refusal, match="c.ckpt names no checkpoint: check the path"):
        write_light(str(tmp_path / "b.ckpt"), str(tmp_path / "c.ckpt"))
    assert not (tmp_path / "b_LIGHT.ckpt").exists()
    with pytest.raises(Refusal, match="a_LIGHT.ckpt names no checkpoint that is not light yet"):
        write_light(written[0])
    with pytest.raises(Refusal, match="names no checkpoint"):
        write_light(str(tmp_path / "c*.ckpt"))


def test_importing_starts_neither_timm_nor_torchvision():
    program = (
        "import sys, encore.systems.drip.network, encore.systems.drip.published_checkpoints\n"
        "print([name for name in ('timm', 'torchvision') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program]).decode().strip() == "[]"
