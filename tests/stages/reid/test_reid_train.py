"""The stage that trains, as dvc runs it and by hand as the published trainer."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml

from encore.models.resnet import Bottleneck, ResNet
from encore.runtime.refusal import Refusal
from encore.runtime.stage import run_stage
from encore.systems.reid.record import CURVES, read_history
from encore.systems.reid.run_folder import RunFolder, classes_of
from encore.systems.reid.trained_network import load_run
from encore.systems.reid.training import train_reid
from encore.systems.reid.unnamed_places import TORCHVISION
from stages.reid import train
from tests.encore.systems.reid.tiny_reid_run import draw_people, mapping
from tests.measured_again import measured_again

MARKET = {"type": "market_evaluate"}


@pytest.fixture()
def size(tmp_path, monkeypatch):
    """A size's folder, which is the working directory, with its parameter file; all paths are relative.

    One thread here as in the processes that the tests start: bits are promised for the same number.
    """
    draw_people(tmp_path / "people")
    draw_people(tmp_path / "market" / "gallery", people=3)
    draw_people(tmp_path / "market" / "query", people=3, pictures=2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    plain = values(tmp_path, evaluation_params=MARKET, encore={"evaluation_root": "market"})
    student = values(tmp_path, encore={"teacher": {"model": "models/reid/plain"}, "seed": 4}, epochs=1)
    write_runs(tmp_path, plain=plain, student=student)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


def values(folder, **changes):
    own = dict(mapping(folder)["encore"], **changes.pop("encore", {}))
    return mapping(folder, **dict({"batches_dir": "people", "working_dir": "runs"}, encore=own, **changes))


def write_runs(size, **runs):
    (size / "params.yaml").write_text(yaml.safe_dump({"reid": {"runs": runs}}))


def write_config(size, name="my params.json", **changes):
    (size / name).write_text(json.dumps(values(size, **changes)))
    return name


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["train"] + list(arguments))
    train.main()


def test_runs_of_the_pipeline(size, monkeypatch):
    run(monkeypatch, "plain")
    folder = size / "models" / "reid" / "plain"
    listed = [name for name in sorted(os.listdir(str(folder))) if not name.startswith("events.out.tfevents.")]
    expected = ["classes.json", "history.jsonl", "model.pth", "model_best.pth", "params.json", "train_log"]
    assert listed == expected and os.listdir(str(size / ".work" / "reid.train.plain")) == ["lock"]
    assert classes_of(str(folder)) == ("0001", "0002", "0003", "0004")
    params, network, path = load_run(str(folder))
    assert params.encore.width == 4 and path.endswith("model_best.pth") and not network.training
    metrics = json.loads((size / "metrics" / "reid" / "train" / "plain.json").read_text())
    assert (metrics["iterations"], metrics["images"], metrics["num_labels"]) == (6, 12, 4)
    assert measured_again("reid/train/plain", size) == {"images", "num_labels"}
    assert 0 < metrics["mAP"] <= 1 and metrics["best_value"] >= metrics["rank1"] > 0
    with open(str(size / "plots" / "reid" / "train" / "plain.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(CURVES) and [row["iteration"] for row in rows] == ["3", "6"]
    assert float(rows[1]["rank1"]) == metrics["rank1"] == float(rows[1]["value"])
    assert "[MARKET_EVAL] top1:" in (folder / "train_log").read_text()
    record = json.loads((size / "fingerprints" / "reid" / "train" / "plain.json").read_text())
    assert record["seed"] == 3 and record["parameters"]["encore"]["evaluation_root"] == "market"
    run(monkeypatch, "student")
    metrics = json.loads((size / "metrics" / "reid" / "train" / "student.json").read_text())
    assert metrics["iterations"] == 3 and "best_value" not in metrics


def started(name):
    command = [sys.executable, "-m", "stages.reid.train", name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)


def test_a_killed_run_goes_on_where_it_was(size, monkeypatch):
    long = values(size, evaluation_params=MARKET, encore={"evaluation_root": "market"}, epochs=12)
    write_runs(size, plain=long)
    run(monkeypatch, "plain")
    folder = size / "models" / "reid" / "plain"
    names = ("model.pth", "model_best.pth", "history.jsonl", "params.json")
    expected = [(folder / name).read_bytes() for name in names]
    os.rename(str(folder), str(size / "whole"))
    process, deadline = started("plain"), time.time() + 300
    while len(read_history(history(size))) < 3 and process.poll() is None:
        assert time.time() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL and not folder.exists()
    before = os.path.dirname(history(size))
    with open(os.path.join(before, "train_log"), "a") as file:
        file.write("written by the killed run\n")
    out, error = started("plain").communicate(timeout=600)
    assert [(folder / name).read_bytes() for name in names] == expected, error
    assert "written by the killed run" in (folder / "train_log").read_text()


def history(size):
    found = list(size.glob(".work/reid.train.plain/*/run/history.jsonl"))
    return str(found[0]) if found else "none"


def wait_for(path, text):
    deadline = time.time() + 300
    while text not in (path.read_text() if path.exists() else ""):
        assert time.time() < deadline, path.read_text()
        time.sleep(0.02)
    return path.read_text()


def test_the_launcher_starts_a_worker_of_its_own(size, monkeypatch, capfd):
    config = write_config(size)
    flags = ["--operation", "start_train", "--config_path", config, "--sub_working_dir", "deep/first run"]
    run(monkeypatch, *flags)
    folder = size / "runs" / "deep" / "first run"
    out = capfd.readouterr().out
    assert out.startswith("{}: process ".format(folder))
    worker = int(out.split("process ")[1].split(",")[0])
    assert os.getsid(worker) == worker != os.getsid(0)
    done = "{}: 6 iterations, 6 now".format(folder)
    log = wait_for(folder / "train_log", done)
    assert "reid training: 100%" in log and os.waitpid(worker, 0)[1] == 0
    log = (folder / "train_log").read_text()
    assert (folder / config).read_text() == (size / config).read_text()
    assert load_run(str(folder))[0].batches_dir == "people"
    # The same command again: the log goes on, and the run is over.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", lambda *arguments, **options: Fake())
        run(patch, *flags)
    assert (folder / "train_log").read_text() == log
    run(monkeypatch, "--config_path", config, "--sub_working_dir", str(folder))
    assert capfd.readouterr().out.splitlines()[-1] == "{}: 6 iterations, 0 now".format(folder)
    # A run by hand and one of the pipeline of the same values are the same.
    write_runs(size, plain=values(size))
    run(monkeypatch, "plain")
    model = size / "models" / "reid" / "plain" / "model.pth"
    assert model.read_bytes() == (folder / "model.pth").read_bytes()
    write_config(size, lr={"base_lr": 0.5})
    with pytest.raises(
        Refusal, match=r"resume.pth: belongs to a run with other values of lr.base_lr \(0.01, now"
    ):
        run(monkeypatch, *flags)
    assert json.loads((folder / config).read_text())["lr"]["base_lr"] == 0.01


def test_the_name_of_a_run_is_the_time_or_absolute(size, monkeypatch, capfd):
    config, places = write_config(size), []
    monkeypatch.setattr(
        subprocess, "Popen", lambda command, **options: places.append((command, options)) or Fake()
    )
    monkeypatch.setattr(time, "time", lambda: 1234567890.25)
    run(monkeypatch, "--operation", "start_train", "--config_path", config)
    run(
        monkeypatch,
        "--operation",
        "start_train",
        "--config_path",
        config,
        "--sub_working_dir",
        str(size / "abs"),
    )
    paths = [str(size / "runs" / "1234567890.25"), str(size / "abs")]
    for path, (command, options) in zip(paths, places):
        assert command[1:] == [
            "-m",
            "stages.reid.train",
            "--config_path",
            str(size / config),
            "--sub_working_dir",
            path,
        ]
        assert options["start_new_session"] and "shell" not in options
        assert os.path.isfile(os.path.join(path, config)) and "{}: process 7,".format(path)


class Fake:
    pid = 7


def test_the_worker_in_the_foreground(size, monkeypatch, capfd):
    config = write_config(size, name="params.json", encore={"max_iterations": 2})
    run(monkeypatch, "--operation", "go", "--sub_working_dir", "here")
    out, error = capfd.readouterr()
    assert out.splitlines()[-1] == "here: 2 iterations, 2 now"
    assert (
        "encore: warning: --operation go: unknown, taken for a worker; the only one is start_train" in error
    )
    names = {name for name in os.listdir("here") if not name.startswith("events.")}
    written = {"classes.json", "curves.csv", "history.jsonl", "model.pth", "params.json", "resume.pth"}
    written.add("run.lock")
    assert names == written  # no evaluation, so no best weights; no log, it is on the terminal
    assert not (size / "metrics").exists()  # the pipeline's are left alone
    record = json.loads(
        (size / "fingerprints" / "reid" / "train_by_hand" / (train.item_of("here") + ".json")).read_text()
    )
    assert record["parameters"]["epochs"] == 2 and config == "params.json"


PUBLISHED = """
{
  "batch_sampling_params": {"batch_size": 32, "class_balanced": false, "P": 32, "K": 4},
  "batches_dir": "BATCHES",
  "data_augmentation": {
    "mirror": true, "colour_jitering": false, "crop_h": 0, "crop_w": 0, "random_erasing": false, "rotation": 0
  },
  "epochs": 30,
  "imagenet_pretrain": true,
  "img_h": 384,
  "img_w": 128,
  "lr": {"base_lr": 0.01, "fc_lr": 0.1, "decay_gamma": 0.1, "decay_step": 10},
  "model_params": {"feature_dim": 1536, "model": "resnet_50", "pcb_n_parts": 6},
  "optimizer": "sgd",
  "parallels": [0, 1],
  "pretrain_snapshot": "path/to/model.pth",
  "weight_decay": 4e-5,
  "fine_tune": false,
  "evaluation_params": {"type": "market_evaluate", "step": null},
  "working_dir": "WORKING",
  "tri_loss_params": {"margin": 0, "lambda_cls": 0, "lambda_tri": 10, "use_adaptive_weight": true},
  "num_preprocess_workers": 4
}
"""
"""The shipped file of state S; two places are to be filled in."""
FLAGS = ["--operation", "start_train", "--config_path", "params.json", "--sub_working_dir", "first"]


@pytest.fixture()
def published(size, monkeypatch):
    """The published file in the working directory, and torch.hub's folder, empty, as is the project's."""
    batches, people = size / "market" / "train_all", {"people": 2, "pictures": 1}
    draw_people(batches, **people)
    text = PUBLISHED.replace("BATCHES", str(batches)).replace("WORKING", str(size / "work"))
    (size / "params.json").write_text(text)
    monkeypatch.setenv("TORCH_HOME", str(size))  # torch.hub's folder is hub in it
    monkeypatch.setattr(train, "ROOT", str(size / "project"))
    return size


def write_weights(path, layers=(3, 4, 6, 3), block=Bottleneck):
    """torchvision's file of a ResNet in form; all tensors lie in one storage, which takes little room."""
    state = ResNet(layers, block=block, classes=1000).state_dict()
    path.parent.mkdir(parents=True)
    shared = torch.full((max(value.numel() for value in state.values()),), 0.01)
    tensors = {name: shared[: value.numel()].view(value.shape) for name, value in state.items()}
    torch.save(tensors, str(path))


class Stepped(Exception):
    pass


def one_step(*arguments, **options):
    def stop(epoch, step, result):
        raise Stepped

    return train_reid(*arguments, on_step=stop, **options)


@pytest.mark.parametrize("place", ["project/raw", "hub/checkpoints"])
def test_the_published_file_as_it_is(published, monkeypatch, capfd, place):
    path = published.joinpath(*place.split("/")) / "resnet50.pth"
    write_weights(path)
    assert TORCHVISION["resnet_50"] == "resnet50-19c8e357.pth"
    monkeypatch.setitem(TORCHVISION, "resnet_50", path.name)  # the digits are not those of this file
    commands = []
    monkeypatch.setattr(
        subprocess, "Popen", lambda command, **options: commands.append((command, options)) or Fake()
    )
    run(monkeypatch, *FLAGS)
    error = capfd.readouterr().err
    assert error.count("encore.imagenet_weights: missing, {} is taken\n".format(path)) == 1
    root = published / "market"
    assert error.count("encore.evaluation_root: missing, {} is taken\n".format(root)) == 1
    [(command, options)] = commands
    folder = published / "work" / "first"
    assert (folder / "params.json").read_text() == (published / "params.json").read_text()
    assert command[1:3] == ["-m", "stages.reid.train"] and options["stdin"].name == str(folder / "run.lock")
    if place != "project/raw":
        return
    monkeypatch.setattr(train, "train_reid", one_step)
    with pytest.raises(Stepped):
        run(monkeypatch, *command[3:])
    assert json.loads((folder / "params.json").read_text())["encore"]["evaluation_root"] == str(root)


def refused(monkeypatch, capfd, *arguments):
    """The one line of the command that ends with status 2."""
    monkeypatch.setattr(sys, "argv", ["train"] + list(arguments))
    with pytest.raises(SystemExit) as caught:
        run_stage(train.main)
    assert caught.value.code == 2
    [line] = [line for line in capfd.readouterr().err.splitlines() if "warning" not in line]
    return line


def test_what_the_published_file_lacks_is_refused_by_the_launcher(published, monkeypatch, capfd):
    monkeypatch.setattr(subprocess, "Popen", None)
    line = refused(monkeypatch, capfd, *FLAGS)
    places = [str(published / "project" / "raw"), str(published / "hub" / "checkpoints")]
    assert "there is no resnet50-19c8e357.pth in {} or {}".format(*places) in line
    write_weights(published / "project" / "raw" / "resnet50-19c8e357.pth")
    os.rename(str(published / "market" / "query"), str(published / "market" / "queries"))
    line = refused(monkeypatch, capfd, *FLAGS)
    assert "encore.evaluation_root: missing, and {}, which".format(published / "market") in line
    os.rename(str(published / "market" / "gallery"), str(published / "market" / "bounding_box_test"))
    os.rename(str(published / "market" / "queries"), str(published / "market" / "query"))
    (published / "market" / "gallery").mkdir()
    assert "found both" in refused(monkeypatch, capfd, *FLAGS)
    assert not (published / "work").exists()


def test_the_launcher_leaves_other_runs_alone(size, monkeypatch, capfd):
    config = write_config(size, name="params.json")
    folder = size / "runs" / "first"
    folder.mkdir(parents=True)
    held = {"model.pth": "weights", "train_log": "log", "params.json": "{}"}
    for name, text in held.items():
        (folder / name).write_text(text)
    monkeypatch.setattr(subprocess, "Popen", None)
    assert "holds model.pth of another run" in refused(monkeypatch, capfd, *FLAGS)
    assert {path.name: path.read_text() for path in folder.iterdir()} == held
    (folder / "model.pth").unlink()
    with RunFolder(str(folder)).locked():
        worker = ["--config_path", config, "--sub_working_dir", str(folder)]
        for arguments in (FLAGS, worker):
            line = refused(monkeypatch, capfd, *arguments)
            assert "process {} trains in this folder".format(os.getpid()) in line
    assert (folder / "train_log").read_text() == "log" and (folder / "params.json").read_text() == "{}"
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **options: Fake())
    run(monkeypatch, *FLAGS)
    assert (folder / "train_log").read_text() == ""  # a new run


def test_runs_of_one_base_name_have_records_of_their_own(size):
    assert train.item_of("a/run") != train.item_of("b/run")
    assert train.item_of("a/run") == train.item_of(str(size / "a" / "run"))


def test_kept_pictures_want_no_loader_processes(size, monkeypatch, capfd):
    config = write_config(size, encore={"keep_bytes": 1000}, num_preprocess_workers=2)
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **options: Fake())
    run(monkeypatch, "--operation", "start_train", "--config_path", config)
    assert "encore.keep_bytes: without effect, num_preprocess_workers is 2" in capfd.readouterr().err


def test_gpus_of_a_worker(monkeypatch):
    import torch

    assert train._visible((0, 1)) is None or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert train._visible((0, 1)) == "0, 1" and train._visible((1,)) == "1"
    with pytest.raises(Refusal, match="parallels: names GPU 4, found 2 here"):
        train._visible((4,))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert train._visible((1,)) == "7"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["none"], "params.yaml: reid.runs.none: missing; there are plain, student"),
        (["plain", "--params", "no.yaml"], "no.yaml: no such parameter file"),
        (["plain", "--config_path", "x.json"], "--config_path describes a run beside the pipeline"),
        (["student"], "models/reid/plain/classes.json: expected the class names of a run"),
        ([], "name a RUN of the section reid.runs, or the run's folder with --sub_working_dir"),
        (["--sub_working_dir", "run"], "./params.json: cannot be read as JSON"),
        (["--config_path", "bad.json", "--operation", "start_train"], "bad.json: not valid JSON"),
        (["--config_path", "own.json", "--sub_working_dir", "run"], "lies in the run's own folder"),
        (["--config_path", "empty.json", "--sub_working_dir", "run"], "batches_dir: missing"),
    ],
)
def test_refusals_are_one_line(size, monkeypatch, arguments, message):
    (size / "bad.json").write_text("{")
    write_config(size, "own.json", pretrain_snapshot="run/model.pth")
    write_config(size, "empty.json", batches_dir="")
    with pytest.raises(Refusal) as caught:
        run(monkeypatch, *arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_parameter_file_without_runs(size, monkeypatch):
    (size / "params.yaml").write_text("reid: {}")
    with pytest.raises(Refusal, match="params.yaml: the section reid.runs, names with values, is missing"):
        run(monkeypatch, "plain")
