"""The stage that makes the synthetic pictures, run as a user runs it."""

import json
import os
import sys

import pytest
import torch
import yaml

from encore.runtime import hardware
from encore.runtime.atomic import file_digest
from encore.runtime.refusal import Refusal
from encore.systems.fkd.networks import NetworkShape, build
from stages.fkd import recover
from tests.measured_again import measured_again

NETWORK = dict(name="resnet18", classes=4, small_stem=True, width=4, layers=[1, 1, 1, 1])
RECIPE = dict(classes=4, images_per_class=2, batch=4, size=16, iterations=3, jitter=2, snapshots=[0, 3])


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the stage in an empty folder with these arguments."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(hardware.ACCEPT, "1")
    shape = NetworkShape(**dict(NETWORK, layers=tuple(NETWORK["layers"])))
    torch.save(build(shape, 0, 16).state_dict(), "teacher.pth")

    def call(*arguments, **changes):
        section = dict(dict(teacher="teacher.pth", recipe=RECIPE), **changes)
        (tmp_path / "params.yaml").write_text(
            yaml.safe_dump(dict(fkd=dict(network=NETWORK, recover=section)))
        )
        monkeypatch.setattr(sys, "argv", ["recover"] + list(arguments))
        recover.main()

    return call


def pictures(folder):
    found = {}
    for place, _, names in os.walk(str(folder)):
        for name in names:
            with open(os.path.join(place, name), "rb") as file:
                found[name] = file.read()
    return found


def test_the_pipeline_run(tmp_path, run):
    run()
    folder = tmp_path / "data" / "fkd" / "synthetic"
    assert sorted(os.listdir(str(folder))) == ["new000", "new001", "new002", "new003"]
    assert len(pictures(folder)) == 8
    summary = json.loads((tmp_path / "data" / "fkd" / "recovered.json").read_text())
    assert summary["pictures"] == 8 and summary["values"]["size"] == "16"
    metrics = json.loads((tmp_path / "metrics" / "fkd" / "recover.json").read_text())
    assert sorted(metrics) == ["batch_norm", "classes", "cross_entropy", "loss", "pictures"]
    assert metrics["pictures"] == 8 and metrics["classes"] == 4
    assert measured_again("fkd/recover", tmp_path) == {"pictures"}
    curves = (tmp_path / "plots" / "fkd" / "recover.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in curves] == ["iteration", "0", "2"]
    assert len(os.listdir(str(tmp_path / "plots" / "fkd" / "snapshots"))) == 4


@pytest.mark.parametrize("changes", [dict(recipe=dict(RECIPE, snapshots=[])), dict(ipc_start=1)])
def test_the_folder_of_snapshots_is_made_without_any(tmp_path, run, changes):
    run(**changes)
    assert os.listdir(str(tmp_path / "plots" / "fkd" / "snapshots")) == []


def test_by_hand_ranges_add_up_to_the_pipeline_run(tmp_path, run):
    run()
    run("--ipc-start", "0", "--ipc-end", "1", "--exp-name", "one")
    assert len(pictures(tmp_path / "syn_data" / "one")) == 4
    run("--ipc-start", "1", "--ipc-end", "2", "--exp-name", "one", "--store-best-images")
    found = pictures(tmp_path / "syn_data" / "one")
    assert found == pictures(tmp_path / "data" / "fkd" / "synthetic")
    assert json.loads((tmp_path / "syn_data" / "one.json").read_text())["pictures"] == 8


def test_without_a_name_it_is_built_and_ignored_flags_are_warned_about(tmp_path, run, capsys):
    run("--r-bn", "0.5", "--syn-data-path", "here", "--wandb-key", "secret", "--verifier")
    assert len(pictures(tmp_path / "here" / "rn18_bn0.5_[3]_x_l2_x_tv.crop")) == 8
    printed = capsys.readouterr().err
    assert "warning: --wandb-key: accepted and ignored" in printed and "secret" not in printed
    assert "warning: --verifier: accepted and ignored" in printed
    assert not (tmp_path / "metrics").exists()  # the pipeline's metrics stay those of its own run
    records = os.listdir(str(tmp_path / "fingerprints" / "fkd" / "recover_by_hand"))
    assert records == ["rn18_bn0.5_[3]_x_l2_x_tv.crop.0-2.json"]
    recorded = (tmp_path / "fingerprints" / "fkd" / "recover_by_hand" / records[0]).read_text()
    assert "secret" not in recorded and json.loads(recorded)["published_flags"]["r_bn"] == "0.5"


def test_batches_by_class_of_one_rank(tmp_path, run):
    run("--ipc", "3", "--world-size", "2", "--rank", "1", "--exp-name", "ranks")
    assert len(pictures(tmp_path / "syn_data" / "ranks")) == 6


def test_a_verifier_is_asked(tmp_path, run):
    run(verifier=dict(weights="teacher.pth", network=NETWORK))
    metrics = json.loads((tmp_path / "metrics" / "fkd" / "recover.json").read_text())
    assert 0 <= metrics["verifier_top1"] <= 100
    record = json.loads((tmp_path / "fingerprints" / "fkd" / "recover.json").read_text())
    assert record["verifier_sha256"] == file_digest("teacher.pth")


def test_a_preset_needs_no_parameter_file(tmp_path, run, monkeypatch):
    shape = NetworkShape("resnet18", 2, small_stem=True)
    torch.save({"model": build(shape, 0, 64).state_dict()}, "tiny.pth")
    arguments = "recover --preset tiny --arch-path tiny.pth --iteration 1 --batch-size 2 --ipc-end 1".split()
    monkeypatch.setattr(sys, "argv", arguments + ["--num-classes", "2", "--exp-name", "tiny"])
    recover.main()
    assert len(pictures(tmp_path / "syn_data" / "tiny")) == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--arch-name", "resnet50"], "--arch-path"),
        (["--verifier-arch", "resnet50"], "--verifier-arch-path"),
        (["--preset", "tiny"], "--arch-path"),
        (["--lr", "0"], "learning_rate must be above 0"),
        (["--ipc-start", "5"], "range within 0 to 2"),
    ],
)
def test_flags_that_do_not_fit_are_refused(run, arguments, message):
    with pytest.raises(Refusal, match=message):
        run(*arguments)


def test_a_missing_teacher_is_refused(run):
    with pytest.raises(Refusal, match="none.pth: missing"):
        run(teacher="none.pth")
