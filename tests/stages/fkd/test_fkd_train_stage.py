"""The stage that trains a student, as dvc runs it and by hand with published flags."""

import csv
import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from golden_files import FOLDER

from encore.systems.fkd.label_conversion import to_store
from encore.systems.fkd.labels import open_labels
from tests.measured_again import measured_again

PARAMETERS = """
fkd:
  students:
    small: {name: resnet18, classes: 5, small_stem: true, width: 4, layers: [1, 1, 1, 1]}
  train:
    images: "data/rn18_bn0.01_[4K]_x_l2_x_tv.crop"
    labels: data/labels
    validation: data/validation
    recipe: {batch: 16, accumulation: 2, epochs: 2, mix: mixup, size: 16, workers: 0, validation_resize: 18,
             validation_workers: 0, seed: 3}
"""
FAKE = """
import json, os, sys
def note(**values):
    with open(os.environ["FAKE_WANDB"], "a") as file:
        file.write(json.dumps(dict(values, key="WANDB_API_KEY" in os.environ, argv=sys.argv)) + "\\n")
class Run:
    def log(self, values, step=None):
        note(call="log", values=values)
    def finish(self):
        note(call="finish")
def login(**options):
    note(call="login")
def init(**options):
    note(call="init", options=options)
    return Run()
note(call="import")
"""
KEY = "planted0key1of2forty3characters4in5all67"
IMAGES = "data/rn18_bn0.01_[4K]_x_l2_x_tv.crop"


@pytest.fixture()
def size(tmp_path):
    """A size's folder, and beside it a home and a package wandb."""
    folder = tmp_path / "size"
    for place in ("images", "validation"):
        target = IMAGES if place == "images" else "data/validation"
        shutil.copytree(str(FOLDER / "fkd" / "images"), str(folder / target))
    shutil.copytree(str(FOLDER / "fkd" / "labels" / "mixup_fp16"), str(folder / "data" / "labels"))
    (folder / "params.yaml").write_text(PARAMETERS)
    (tmp_path / "home").mkdir()
    (tmp_path / "packages" / "wandb").mkdir(parents=True)
    (tmp_path / "packages" / "wandb" / "__init__.py").write_text(FAKE)
    return folder


def train(size, *arguments, **variables):
    beside = size.parent
    path = os.pathsep.join([str(beside / "packages"), os.environ["PYTHONPATH"]])
    own = dict(
        PYTHONPATH=path, HOME=str(beside / "home"), FAKE_WANDB=str(beside / "calls"), OMP_NUM_THREADS="1"
    )
    environment = dict({k: v for k, v in os.environ.items() if k != "WANDB_API_KEY"}, **own)
    return subprocess.run(
        [sys.executable, "-m", "stages.fkd.train"] + list(arguments),
        cwd=str(size),
        env=dict(environment, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )


def calls(size):
    path = size.parent / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def holders_of(text, folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if text.encode() in path.read_bytes() or text in str(path)]


def published_flags(output, labels):
    return (
        "--wandb-project final_rn18_fkd --batch-size 16 --model resnet18 --cos -j 0 "
        "--gradient-accumulation-steps 2 -T 20 --mix-type mixup --epochs 2 --output-dir {} --train-dir {} "
        "--val-dir data/validation --fkd-path {}".format(output, IMAGES, labels)
    ).split()


def test_the_stage_writes_student_metrics_and_curves_and_wandb_stays_out(size):
    done = train(size, "small", WANDB_API_KEY=KEY, WANDB_MODE="online")
    assert done.returncode == 0, done.stderr
    written = sorted(os.listdir(str(size / "models" / "fkd" / "students" / "small")))
    assert [name for name in written if not name.startswith("events")] == [
        "checkpoint.pth.tar",
        "history.jsonl",
        "log.txt",
        "model_best.pth.tar",
        "validation.npz",
    ]
    assert measured_again("fkd/train/small", size) == {"top1", "top5"}
    metrics = json.loads((size / "metrics" / "fkd" / "train" / "small.json").read_text())
    assert set(metrics) == {
        "top1",
        "top5",
        "best_top1",
        "validation_loss",
        "train_loss",
        "epochs",
        "steps",
        "validation_images",
    }
    assert (metrics["epochs"], metrics["steps"], metrics["validation_images"]) == (2, 6, 40)
    with open(str(size / "plots" / "fkd" / "train" / "small.csv")) as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "1"]
    assert float(rows[1]["val/top1"]) == metrics["top1"] and float(rows[1]["train/loss"]) > 0
    assert calls(size) == []  # not even imported
    assert holders_of(KEY, size.parent) == [] and KEY not in done.stdout + done.stderr
    assert done.stdout.count("TRAIN Iter") == 2


def test_a_student_has_its_own_accumulation_where_the_parameters_say_so(size):
    own = PARAMETERS.replace("    recipe:", "    accumulation_of: {small: 4, other: 8}\n    recipe:")
    for text, expected in ((own, 4), (own.replace("small: 4, ", ""), 2)):
        (size / "params.yaml").write_text(text)
        done = train(size, "small")
        assert done.returncode == 0, done.stderr
        record = json.loads((size / "fingerprints" / "fkd" / "train" / "small.json").read_text())
        assert record["parameters"]["recipe"]["accumulation"] == expected
        assert list(record["other_parameters"]) == ["students.small"]  # where claims look for it


def test_the_published_command_trains_with_the_published_defaults(size):
    output = "save/rn18_[4K]_T20/"
    known = {"size": 16, "mean": (0.3, 0.3, 0.3), "deviation": (0.4, 0.4, 0.4)}  # else those of ImageNet
    to_store(open_labels(str(size / "data" / "labels")), str(size / "store"), **known)
    done = train(size, *published_flags(output, "store/"), "--wandb", "offline")
    assert done.returncode == 0, done.stderr
    content = torch.load(str(size / output / "checkpoint.pth.tar"), map_location="cpu")
    assert content["state_dict"]["module.fc.weight"].shape == (5, 512)
    recipe = content["encore"]["recipe"]
    assert [json.loads(recipe[name]) for name in ("temperature", "size", "schedule")] == [20.0, 16, "cosine"]
    assert [json.loads(recipe[name]) for name in ("mean", "deviation")] == [[0.3] * 3, [0.4] * 3]
    assert not (size / "metrics").exists()  # those of the pipeline are left alone
    assert os.listdir(str(size / "fingerprints" / "fkd" / "train_by_hand")) == ["rn18_[4K]_T20.json"]
    assert (size / ".work" / "fkd.train_by_hand.rn18_[4K]_T20" / "lock").exists()
    assert [call["call"] for call in calls(size)] == ["import", "init", "log", "log", "finish"]
    options = calls(size)[1]["options"]
    assert (options["project"], options["name"], options["mode"]) == (
        "final_rn18_fkd",
        "rn18_[4K]_T20",
        "offline",
    )


@pytest.mark.parametrize("form", ["flag", "flag with =", "variable"])
def test_a_key_reaches_wandb_and_no_output(size, form):
    arguments = {"flag": ["--wandb-api-key", KEY], "flag with =": ["--wandb-api-key=" + KEY], "variable": []}
    variables = {"WANDB_API_KEY": KEY} if form == "variable" else {}
    done = train(size, "small", "--wandb", "online", *arguments[form], **variables)
    assert done.returncode == 0, done.stderr
    assert [call["call"] for call in calls(size)] == ["import", "init", "log", "log", "finish"]
    assert all(call["key"] for call in calls(size)[1:])
    assert holders_of(KEY, size.parent) == []  # outputs, records, locks, home, and the arguments wandb saw
    assert KEY not in done.stdout + done.stderr
    assert (size / "metrics" / "fkd" / "train" / "small.json").exists()  # it is the pipeline's run


def test_flags_with_a_student_start_from_the_parameter_file(size):
    done = train(size, "small", "--epochs", "1", "--output-dir", "by_hand")
    assert done.returncode == 0, done.stderr
    content = torch.load(str(size / "by_hand" / "checkpoint.pth.tar"), map_location="cpu")
    assert content["epoch"] == 1 and json.loads(content["encore"]["recipe"]["batch"]) == 16
    assert (size / "by_hand" / "curves.csv").exists() and not (size / "metrics").exists()


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["small", "--epochs", "1"], "name its folder with --output-dir"),
        (["unknown"], "fkd.students.unknown is missing"),
        (["--cos"], "--train-dir: missing"),
        (["small", "--batch-size", "8", "--output-dir", "x"], "batch"),
        (["small", "--epochs", "4", "--output-dir", "x"], "epoch_3"),
        (["small", "--mix-type", "cutmix", "--output-dir", "x"], "mix"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(size, arguments, named):
    done = train(size, *arguments)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and named in done.stderr


def test_labels_of_other_classes_are_refused(size):
    (size / "params.yaml").write_text(PARAMETERS.replace("classes: 5", "classes: 7"))
    done = train(size, "small")
    assert done.returncode == 2 and "7 outputs, found labels of 5 classes" in done.stderr
