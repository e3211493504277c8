"""The stage that trains, as dvc runs it and by hand with the published flags."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from encore.systems.drip.backbone_start import StartParameters, write_start
from encore.systems.drip.centroids import read_w
from encore.systems.drip.published_checkpoints import read_container
from encore.systems.drip.record import CURVES
from stages.drip.train import manual_job
from tests.encore.killed_run import assert_same_bits
from tests.encore.systems.drip.tiny_drip import CONFIG, PARAMETERS, SHAPE, draw_pictures

BY_HAND = "--n-facebook-samples 8 --n-imagenet-samples 2 --batch-size 4 --qry-augs-intensity 0.5".split()
LAST = "lightning_logs/version_0/checkpoints/last.ckpt"


@pytest.fixture()
def size(tmp_path):
    """A size's folder with the outputs of the stages before."""
    draw_pictures(tmp_path / "data" / "drip" / "pictures")
    (tmp_path / "models" / "drip" / "start").mkdir(parents=True)
    write_start(str(tmp_path / "models" / "drip" / "start" / "backbone.pth"), SHAPE, StartParameters())
    (tmp_path / "params.yaml").write_text(PARAMETERS)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def started(size, *arguments, **options):
    environment = dict(os.environ, OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
    return subprocess.Popen(
        [sys.executable, "-m", "stages.drip.train"] + list(arguments),
        cwd=str(size),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        **options,
    )


def train(size, *arguments):
    process = started(size, *arguments)
    out, error = process.communicate(timeout=120)
    return process.returncode, out, error


def succeed(size, *arguments):
    status, out, error = train(size, *arguments)
    assert status == 0, error
    return out, error


def curves(path):
    with open(str(path), newline="") as file:
        return list(csv.DictReader(file))


def test_two_stages_of_the_pipeline(size):
    succeed(size, "c10")
    succeed(size, "c16")
    models = size / "models" / "drip"
    assert sorted(os.listdir(str(models / "c10"))) == ["lightning_logs"]
    assert sorted(os.listdir(str(models / "c16"))) == ["W.json", "W.pickle", "lightning_logs"]
    version = sorted(os.listdir(str(models / "c16" / "lightning_logs" / "version_0")))
    assert [name for name in version if not name.startswith("events")] == [
        "checkpoints",
        "history.jsonl",
        "hparams.yaml",
    ]
    assert read_w(str(models / "c16" / "W.pickle"), (16, 16)).shape == (16, 16)
    rows = curves(size / "plots" / "drip" / "train" / "c10.csv")
    assert list(rows[0]) == ["epoch"] + list(CURVES) + ["lr"] and [row["epoch"] for row in rows] == list(
        "012"
    )
    metrics = json.loads((size / "metrics" / "drip" / "train" / "c16.json").read_text())
    assert (metrics["epochs"], metrics["steps"], metrics["classes"]) == (2, 6, 16)
    assert metrics["skipped_steps"] == 0 and metrics["raised_steps"] >= 0
    assert metrics["first_epoch_trn_loss"] < float(rows[0]["trn_loss"])  # the method's point
    record = json.loads((size / "fingerprints" / "drip" / "train" / "c16.json").read_text())
    assert record["item"] == "c16" and record["seed"] == 3
    assert sorted(record["other_parameters"]) == ["network", "stages.c16"]
    stage = record["other_parameters"]["stages.c16"]
    assert stage["from"] == "c10" and stage["n_imagenet_samples"] == 6 and "from_" not in stage
    assert record["parameters"]["w_passes"] == 2


def test_a_killed_stage_goes_on_where_it_was(size):
    succeed(size, "c10")
    whole = read_container(str(size / "models" / "drip" / "c10" / LAST))
    second = size / "again"
    second.mkdir()
    for name in ("data", "params.yaml", "models"):
        (second / name).symlink_to(size / name)
    (second / "models").unlink()
    (second / "models" / "drip").mkdir(parents=True)
    (second / "models" / "drip" / "start").symlink_to(size / "models" / "drip" / "start")
    kill_at(second, "c10", "work_*.pth.tar")
    succeed(second, "c10")
    assert_same_bits(read_container(str(second / "models" / "drip" / "c10" / LAST)), whole)


def kill_at(size, stage, name):
    """Train until the work folder has a file of that name (a glob), then kill."""
    process = started(size, stage)
    deadline = time.time() + 60
    while not list(size.glob(".work/**/" + name)) and process.poll() is None:
        assert time.time() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL and not (size / "models" / "drip" / stage).exists()


def stop_after(size, epochs):
    """Change stop.max_epochs of c10."""
    text, changed = (size / "params.yaml").read_text(), "stop: {max_epochs: %d}" % epochs
    (size / "params.yaml").write_text(re.sub(r"stop: \{max_epochs: \d+\}", changed, text, count=1))


def test_another_stop_rule_loses_no_work(size):
    stop_after(size, 500)
    kill_at(size, "c10", "FacebookModel_epoch= 1*")
    (history,) = size.glob(".work/**/history.jsonl")
    head, _, rest = history.read_text().partition("\n")
    marked = dict(json.loads(head), trn_qry_acc_step=0.123)  # gone where the first epoch is trained again
    history.write_text(json.dumps(marked) + "\n" + rest)
    (last,) = size.glob(".work/**/last.ckpt")
    done = read_container(str(last))["encore"]["epoch"]
    shutil.copytree(str(size / ".work"), str(size / "killed"))
    stop_after(size, done + 2)
    _, error = succeed(size, "c10")
    assert "its stop rule" not in error
    folder = size / "models" / "drip" / "c10"
    first = (folder / LAST).parent.parent / "history.jsonl"
    assert json.loads(first.read_text().splitlines()[0])["trn_qry_acc_step"] == 0.123
    found = read_container(str(folder / LAST))
    assert found["encore"]["epoch"] == done + 2
    shutil.rmtree(str(folder))
    succeed(size, "c10")  # without what the killed run had done
    assert_same_bits(found, read_container(str(folder / LAST)))
    # A rule that is met already: the stage ends with what is there, and says so.
    shutil.rmtree(str(size / ".work"))
    shutil.copytree(str(size / "killed"), str(size / ".work"))
    stop_after(size, 1)
    _, error = succeed(size, "c10")
    line = "encore: c10: %d epochs were done before, its stop rule asks for no more" % done
    assert line in error.splitlines()
    metrics = json.loads((size / "metrics" / "drip" / "train" / "c10.json").read_text())
    assert metrics["epochs"] == done == read_container(str(folder / LAST))["encore"]["epoch"]
    assert not list(folder.glob("**/work_*")) and len(curves(size / "plots/drip/train/c10.csv")) == done


def test_by_hand_text_is_laid_out_as_published_where_that_is_possible(size, monkeypatch):
    from PIL import features

    (size / "silent.yaml").write_text(CONFIG.replace("text_layout: basic\n", ""))
    (size / "raqm.yaml").write_text(CONFIG.replace("text_layout: basic", "text_layout: raqm"))
    monkeypatch.chdir(size)

    def found(config, has_raqm):
        monkeypatch.setattr(features, "check", lambda name: has_raqm and name == "raqm")
        warnings = []
        chosen = {"stage.n_facebook_samples": 8}
        job = manual_job(dict(chosen, model_config=config) if config else chosen, warnings)
        return job.recipe.text_layout, [line for line in warnings if "text_layout is basic" in line]

    for silent in (None, "silent.yaml"):
        assert found(silent, True) == ("raqm", [])
        layout, (warning,) = found(silent, False)
        assert layout == "basic" and "\n" not in warning
    assert found("config.yaml", False) == ("basic", [])
    assert found("raqm.yaml", False) == ("raqm", [])  # which is then refused, as in a parameter file


def test_two_processes_make_the_files_of_one(size):
    # 14 classes in batches of 6, 6 and 2: of the last one the second process has nothing.
    changed = (size / "params.yaml").read_text().replace("n_imagenet_samples: 6", "n_imagenet_samples: 4")
    (size / "params.yaml").write_text(changed)
    succeed(size, "c10")
    folder = size / "models" / "drip" / "c16"
    succeed(size, "c16")
    one = read_container(str(folder / LAST))
    one_w = read_w(str(folder / "W.pickle"), (16, 14))
    rows = curves(size / "plots" / "drip" / "train" / "c16.csv")
    text = (size / "params.yaml").read_text()
    assert "processes: 1" in text
    (size / "params.yaml").write_text(text.replace("processes: 1", "processes: 2"))
    succeed(size, "c16")
    two = read_container(str(folder / LAST))
    assert abs(read_w(str(folder / "W.pickle"), (16, 14)) - one_w).max() < 1e-6
    assert list(two["state_dict"]) == list(one["state_dict"])
    for name, value in one["state_dict"].items():
        assert two["state_dict"][name].shape == value.shape
        assert (two["state_dict"][name] - value).abs().max() < 2e-4, name  # Adam magnifies what rounding does
    moments = [content["optimizer_states"][0]["state"] for content in (one, two)]
    assert list(moments[0]) == list(moments[1])
    kernel = max(moments[0])
    assert moments[1][kernel]["exp_avg"].shape == (16, 14)
    assert torch.allclose(moments[1][kernel]["exp_avg"], moments[0][kernel]["exp_avg"], atol=1e-4)
    for row, other in zip(rows, curves(size / "plots" / "drip" / "train" / "c16.csv")):
        assert float(other["trn_loss"]) == pytest.approx(float(row["trn_loss"]), rel=1e-4)
        assert float(other["val_loss"]) == pytest.approx(float(row["val_loss"]), rel=1e-3)


def test_by_hand_as_published(size):
    out, _ = succeed(size, *BY_HAND, "--model-config", "config.yaml", "--max-epochs", "2")
    folder = size / "TEST26_0k_nobias_l1"
    assert sorted(os.listdir(str(folder))) == ["lightning_logs"]
    last = folder / LAST
    assert out.splitlines()[-1] == "./TEST26_0k_nobias_l1/%s: 2 epochs, 6 steps" % LAST
    assert read_container(str(last))["state_dict"]["criterion.kernel"].shape == (16, 10)
    assert len(curves(last.parent.parent / "curves.csv")) == 2
    assert not (size / "metrics").exists() and not (size / "plots").exists()  # the pipeline's are left alone
    # The next stage of as many thousands of classes: the same folder, a version of its own, from the first.
    flags = ["--n-facebook-samples", "12", "--batch-size", "6", "--max-epochs", "1"]
    flags += ["--build-w-matrix", "./TEST26_0k_nobias_l1/" + LAST, "--model-config", "config.yaml"]
    _, error = succeed(size, *flags, "--show-some-samples")
    assert "--show-some-samples: accepted and ignored" in error
    assert sorted(os.listdir(str(folder))) == ["W.json", "W.pickle", "lightning_logs"]
    assert sorted(os.listdir(str(folder / "lightning_logs"))) == ["version_0", "version_1"]
    # And the same command again goes on in its version, here shared by two processes for one epoch more.
    before = (folder / "W.pickle").stat().st_mtime_ns
    out, _ = succeed(size, *flags, "--max-epochs", "2", "--processes", "2")
    assert "version_1/checkpoints/last.ckpt: 2 epochs, 4 steps" in out
    assert sorted(os.listdir(str(folder / "lightning_logs"))) == ["version_0", "version_1"]
    assert (folder / "W.pickle").stat().st_mtime_ns == before
    whole = read_container(str(folder / "lightning_logs" / "version_1" / "checkpoints" / "last.ckpt"))
    assert whole["state_dict"]["criterion.kernel"].shape == (16, 12)
    record = json.loads((size / "fingerprints/drip/train_by_hand/TEST26_0k_nobias_l1.json").read_text())
    assert record["published_flags"]["stage.batch_size"] == "6" and "other_parameters" not in record


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["c99"], "params.yaml: drip.stages.c99: missing; there are c10, c16"),
        (
            ["c16"],
            "models/drip/c10: no lightning_logs/version_N/checkpoints/last.ckpt: train that stage first",
        ),
        (["c10", "--batch-size", "3"], "leave STAGE out, or change drip.stages.c10"),
        (["--build-w-matrix", "nowhere"], "--build-w-matrix nowhere: neither a checkpoint nor"),
        (["--qry-augs-intensity", "1.5"], "qry_augs_intensity: expected 0 to 1, found 1.5"),
        (["--model-config", "none.py"], "none.py: cannot be read"),
        (BY_HAND, "precision 16 needs a GPU"),
        (["--n-facebook-samples", "15", "--precision", "32"], "n_facebook_samples: expected 0 to 14"),
    ],
)
def test_refusals_are_one_line(size, arguments, message):
    status, _, error = train(size, *arguments)
    assert status == 2 and len(error.splitlines()) == 1 and message in error, error
