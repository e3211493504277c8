"""The stages squeeze, train_kd and baseline, run in a small folder in this process."""

import copy
import csv
import hashlib
import importlib
import json
import sys

import pytest
import torch
import yaml

from encore.data.class_folders import ClassFolders
from encore.runtime.safe_load import safe_load
from encore.runtime.stage import run_stage
from encore.systems.fkd.classifier_batches import random_per_class
from encore.systems.fkd.networks import NetworkShape, build, load_weights
from tests.encore.systems.fkd.digit_folders import write_class_folders
from tests.measured_again import measured_again

SMALL = {"name": "resnet18", "classes": 3, "small_stem": True, "width": 4, "layers": [1, 1, 1, 1]}
RECIPE = {
    "size": 16,
    "augmentation": {"crop": "padded", "pad": 1, "flip": 0.0},
    "epochs": 2,
    "batch": 6,
    "replicas": 1,
    "optimizer": {"learning_rate": 0.05},
    "schedule": {"kind": "cosine"},
    "validation_resize": 16,
    "workers": 0,
}
ONLINE = dict(RECIPE, distillation={"temperature": 4, "mix": "cutmix"}, layout="state_dict")
PARAMETERS = {
    "fkd": {
        "network": SMALL,
        "students": {"small": dict(SMALL, width=3)},
        "squeeze": {"images": "train", "validation": "test", "recipe": dict(RECIPE, layout="model")},
        "train_kd": {
            "small": {
                "student": "small",
                "images": "synthetic",
                "validation": "test",
                "images_per_class": 4,
                "recipe": ONLINE,
            }
        },
        "baselines": {
            "random": {
                "student": "small",
                "images": "train",
                "validation": "test",
                "images_per_class": 2,
                "subset_seed": 5,
                "recipe": RECIPE,
            },
            "full": {"student": "small", "images": "train", "validation": "test", "recipe": RECIPE},
            "answers": {"student": "small", "images": "train", "validation": "test", "recipe": ONLINE},
        },
    }
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_class_folders(tmp_path / "train", copies=5)
    write_class_folders(tmp_path / "synthetic", copies=6, seed=2)
    write_class_folders(tmp_path / "test", copies=2, seed=1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(monkeypatch, folder, stage, *words, change=None):
    """Run a stage -> its exit status."""
    parameters = copy.deepcopy(PARAMETERS)
    if change is not None:
        change(parameters["fkd"])
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters))
    monkeypatch.setattr(sys, "argv", [stage] + list(words))
    try:
        run_stage(importlib.import_module("stages.fkd." + stage).main)
    except SystemExit as end:
        return end.code
    return 0


def metrics(folder, name):
    return json.loads((folder / "metrics" / "fkd" / (name + ".json")).read_text())


def test_the_teacher_is_trained_and_then_answers_online(folder, monkeypatch, capsys):
    assert run(monkeypatch, folder, "train_kd", "small") == 2
    assert "models/fkd/teacher.pth: missing" in capsys.readouterr().err
    assert run(monkeypatch, folder, "squeeze") == 0
    assert list(safe_load("models/fkd/teacher.pth")) == ["model"]
    load_weights(build(NetworkShape("resnet18", 3, True, 4, (1, 1, 1, 1)), 0), "models/fkd/teacher.pth")
    found = metrics(folder, "squeeze")
    assert (found["epochs"], found["steps"], found["images"], found["validation_images"]) == (2, 6, 15, 6)
    assert 0 <= found["top1"] <= found["best_top1"] <= 100
    assert measured_again("fkd/squeeze") == {"top1", "top5"}
    with open("plots/fkd/squeeze.csv") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0", "1"]
    assert run(monkeypatch, folder, "train_kd", "small") == 0
    assert metrics(folder, "train_kd/small")["images"] == 12
    assert measured_again("fkd/train_kd/small") == {"top1", "top5"}
    assert list(safe_load("models/fkd/train_kd/small.pth")) == ["state_dict", "acc", "epoch"]
    assert run(monkeypatch, folder, "baseline", "answers") == 0
    assert metrics(folder, "baseline/answers")["images"] == 15
    assert not [path for path in (folder / ".work").glob("*/*") if path.is_dir()]


def test_baselines_take_random_or_all_real_pictures(folder, monkeypatch):
    assert run(monkeypatch, folder, "baseline", "random") == 0
    assert run(monkeypatch, folder, "baseline", "full") == 0
    assert metrics(folder, "baseline/random")["images"] == 6
    assert metrics(folder, "baseline/full")["images"] == 15
    assert measured_again("fkd/baseline/full") == {"top1", "top5"}
    names = random_per_class(ClassFolders("train"), 2, 5).names
    assert names != ClassFolders("train").first_per_class(2).names
    assert sorted(path.name for path in (folder / "models" / "fkd" / "baseline").iterdir()) == [
        "full.pth",
        "random.pth",
    ]
    fingerprint = json.loads((folder / "fingerprints" / "fkd" / "baseline" / "random.json").read_text())
    assert fingerprint["parameters"]["subset_seed"] == 5
    others = fingerprint["other_parameters"]  # under the names of their sections, where claims look for them
    assert set(others) == {"baselines.random", "students.small"}
    assert others["baselines.random"]["images_per_class"] == 2 and others["students.small"]["width"] == 3


def test_a_published_teacher_is_validated_and_taken_as_it_is(folder, monkeypatch, capsys):
    data, digest = write_published("published.pth")
    assert run(monkeypatch, folder, "squeeze", change=published("published.pth", digest)) == 0
    assert (folder / "models" / "fkd" / "teacher.pth").read_bytes() == data
    found = metrics(folder, "squeeze")
    assert set(found) == {"top1", "top5", "validation_loss", "steps", "validation_images"}
    with open("plots/fkd/squeeze.csv") as file:
        (row,) = csv.DictReader(file)
    assert row["step"] == "0" and float(row["val/top1"]) == found["top1"]
    assert (float(row["val/top5"]), float(row["val/loss"])) == (found["top5"], found["validation_loss"])
    assert run(monkeypatch, folder, "squeeze", change=published("published.pth", "0" * 64)) == 2
    assert "its SHA-256 is" in capsys.readouterr().err


def write_published(path):
    """Write weights of the teacher's shape -> (content, SHA-256)."""
    torch.save(build(NetworkShape("resnet18", 3, True, 4, (1, 1, 1, 1)), 5, 16).state_dict(), path)
    with open(path, "rb") as file:
        data = file.read()
    return data, hashlib.sha256(data).hexdigest()


def published(path, sha256=None):
    def change(fkd):
        fkd["squeeze"].update(published=path, sha256=sha256)
        del fkd["squeeze"]["images"]

    return change


def test_the_digest_in_a_published_files_name_is_checked(folder, monkeypatch, capsys):
    name = "resnet18-f37072fd.pth"
    digest = write_published(name)[1]
    assert run(monkeypatch, folder, "squeeze", change=published(name)) == 2
    expected = "%s: its SHA-256 begins with %s, its name says f37072fd" % (name, digest[:8])
    assert expected in capsys.readouterr().err and not (folder / "models").exists()
    assert run(monkeypatch, folder, "squeeze", change=published(name, digest)) == 0
    assert metrics(folder, "squeeze")["published_top1"] == 69.758
    (folder / name).rename("mine-%s.pth" % digest[:8])
    assert run(monkeypatch, folder, "squeeze", change=published("mine-%s.pth" % digest[:8])) == 0
    assert "published_top1" not in metrics(folder, "squeeze")


@pytest.mark.parametrize(
    "stage, words, section, preset, expected",
    [
        ("squeeze", [], "squeeze", "cifar100", ("sgd", 5e-4, "cosine", True, None)),
        ("baseline", ["random"], "baselines.random", "tiny", ("sgd", 1e-4, "cosine", False, None)),
        ("train_kd", ["small"], "train_kd.small", "tiny", ("sgd", 1e-4, "cosine", False, 20.0)),
        ("train_kd", ["small"], "train_kd.small", "cifar100", ("adamw", 0.01, "cosine", True, 30.0)),
    ],
)
def test_a_preset_gives_the_values_that_the_recipe_does_not(
    folder, monkeypatch, stage, words, section, preset, expected
):
    given = {"size": 16, "epochs": 2, "batch": 6, "workers": 0, "schedule": {"warm_up_epochs": 1}}

    def change(fkd):
        place = fkd
        for part in section.split("."):
            place = place[part]
        place.update(preset=preset, recipe=given)

    if stage == "train_kd":
        assert run(monkeypatch, folder, "squeeze") == 0
    assert run(monkeypatch, folder, stage, *words, change=change) == 0
    path = folder / "fingerprints" / "fkd" / "/".join([stage] + words)
    parameters = json.loads(path.with_suffix(".json").read_text())["parameters"]
    recipe = parameters["recipe"]
    distillation = recipe["distillation"]
    assert parameters["preset"] == preset and expected == (
        recipe["optimizer"]["name"],
        recipe["optimizer"]["weight_decay"],
        recipe["schedule"]["kind"],
        recipe["keep_best"],
        distillation and distillation["temperature"],
    )
    assert [recipe[name] for name in ("size", "epochs", "batch", "workers")] == [16, 2, 6, 0]
    assert recipe["schedule"]["warm_up_epochs"] == 1


@pytest.mark.parametrize(
    "stage, words, change, expected",
    [
        ("squeeze", [], {"squeeze.published": "x.pth"}, "give exactly one of published and images"),
        ("squeeze", [], {"network.classes": 4}, "the network has 4 outputs, train 3 class folders"),
        ("train_kd", ["small"], {"train_kd.small.recipe.distillation": None}, "labels are for fkd.baselines"),
        ("train_kd", ["small"], {"train_kd.small.images_per_class": 9}, "9 a class were asked for"),
        ("train_kd", ["small"], {"train_kd.small.student": "large"}, "section fkd.students.large is missing"),
        ("train_kd", ["other"], {}, "the section fkd.train_kd.other is missing"),
        ("baseline", ["random"], {"baselines.random.images_per_class": 6}, "6 a class were asked for"),
        ("baseline", ["random"], {"baselines.random.images": "nowhere"}, "nowhere: no such folder"),
        ("baseline", ["random"], {"baselines.random.recipe.batch": 0}, "recipe.batch: expected 1"),
        ("baseline", ["random"], {"baselines.random.recipe": 3}, "baselines.random.recipe: expected"),
        ("squeeze", [], {"squeeze.preset": "cifar"}, "preset: expected one of imagenet, tiny, cifar100"),
    ],
)
def test_what_does_not_fit_is_refused(folder, monkeypatch, capsys, stage, words, change, expected):
    def changed(fkd):
        for key, value in change.items():
            *parents, last = key.split(".")
            place = fkd
            for parent in parents:
                place = place[parent]
            place[last] = value

    assert run(monkeypatch, folder, stage, *words, change=changed) == 2
    assert expected in capsys.readouterr().err
    assert not (folder / "models").exists()
