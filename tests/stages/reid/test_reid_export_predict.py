import sys

import numpy as np
import pytest
import torch

from encore.runtime.refusal import Refusal
from encore.systems.reid.evaluation_input import evaluation_input
from encore.systems.reid.trained_network import load_run
from stages.reid import export, predict
from tests.encore.systems.reid.market_set import QUERY, SIZE, write_set
from tests.encore.systems.reid.reid_pictures import png, tar_of, write
from tests.stages.reid.reid_run_folder import write_run


@pytest.fixture()
def command(tmp_path, monkeypatch):
    """Run the main of a module with arguments, in the folder."""
    monkeypatch.chdir(tmp_path)

    def run(module, *arguments):
        monkeypatch.setattr(sys, "argv", [module.__name__] + [str(argument) for argument in arguments])
        module.main()

    return run


def features_of(net, data):
    with torch.no_grad():
        return net(torch.from_numpy(np.stack([evaluation_input(one, SIZE) for one in data]))).numpy()


def test_a_run_is_exported_and_both_describe_pictures_alike(command, tmp_path, capsys):
    root = str(write_set(tmp_path / "set"))
    _, net = write_run(tmp_path, encore={"evaluation_root": root})
    command(export, ".", "net.onnx")
    assert (
        "net.onnx: from ./model_best.pth; largest difference from torch on 3 pictures: "
        in capsys.readouterr().out
    )
    write(tmp_path / "new", ["b.png", "a.png"])
    command(predict, "net.onnx", "new", "onnx.npz", "--raw")
    command(predict, ".", tar_of(tmp_path / "new", "inside"), "torch.npz", "--raw")
    command(predict, ".", "new", "unit.npz", "--batch-size", "1", "--workers", "1")
    found = {name: dict(np.load(str(tmp_path / (name + ".npz")))) for name in ("onnx", "torch", "unit")}
    expected = features_of(net, [png(1), png(0)])
    for name in ("onnx", "torch"):
        assert found[name]["names"].tolist() == ["a.png", "b.png"]
        np.testing.assert_allclose(found[name]["features"], expected, atol=1e-4)
    unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found["unit"]["features"], unit, atol=1e-5)
    assert found["unit"]["features"].dtype == np.float32


def test_weights_of_a_run(tmp_path):
    _, best = write_run(tmp_path)
    assert load_run(str(tmp_path))[2].endswith("model_best.pth")
    _, net, path = load_run(str(tmp_path), "model.pth")
    assert path.endswith("model.pth") and not torch.equal(net.fc.weight, best.fc.weight)
    (tmp_path / "model_best.pth").unlink()
    assert load_run(str(tmp_path))[2].endswith("model.pth") and not net.training


def test_no_run_is_refused(tmp_path):
    with pytest.raises(Refusal, match="expected the folder of a run with params.json and model_best.pth or"):
        load_run(str(tmp_path))
    write_run(tmp_path)
    with pytest.raises(Refusal, match="params.json and other.pth"):
        load_run(str(tmp_path), "other.pth")
    state = torch.load(str(tmp_path / "model_best.pth"))
    del state["model.conv1.weight"]
    torch.save(state, str(tmp_path / "model_best.pth"))
    with pytest.raises(Refusal, match="lacks 1 tensors of the network, the first is model.conv1.weight"):
        load_run(str(tmp_path))


def test_pictures_of_the_check(tmp_path):
    values, _ = write_run(tmp_path, batches_dir=str(tmp_path / "train"))
    with pytest.raises(Refusal, match="checked on real pictures, .*train"):
        export.check_pictures(values)
    write(tmp_path / "train", ["0001/%d.png" % number for number in range(20)])
    training = export.check_pictures(values)
    assert len(training) == 20 and len(export.real_inputs(training, SIZE)) == export.PICTURES
    values, _ = write_run(tmp_path, encore={"evaluation_root": str(write_set(tmp_path / "set"))})
    assert export.check_pictures(values).names == sorted(QUERY)
    (tmp_path / "set" / "query" / QUERY[0]).write_bytes(b"no picture")
    with pytest.raises(Refusal, match="0001_c1s1_000002_00.png: cannot be read .* --pictures"):
        export.real_inputs(export.check_pictures(values), SIZE)
    (tmp_path / "none").mkdir()
    with pytest.raises(Refusal, match="none found|found none"):
        export.real_inputs(export.check_pictures(values, str(tmp_path / "none")), SIZE)


def test_wrong_numbers_are_refused(command, tmp_path):
    with pytest.raises(Refusal, match="--batch-size and --workers"):
        command(predict, ".", "new", "x.npz", "--batch-size", "0")
