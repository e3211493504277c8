"""The stages from pictures to stripped weights, in a folder of their own, as dvc runs them."""

import contextlib
import json
import os
from collections import OrderedDict

import pytest
import torch

from encore.data.shards import ShardSet
from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load
from encore.systems.isc import training_stage
from encore.systems.isc_track1.backbones import weights_name
from encore.systems.isc_track1.face_detectors import CascadeDetector
from encore.training import checkpoint
from stages.isc_track1 import faces, generate, pairs, train
from tests.measured_again import measured_again


def metrics(*parts):
    with open(os.path.join("metrics", "isc_track1", *parts) + ".json") as file:
        return json.load(file)


def test_from_pictures_to_stripped_weights(stage, monkeypatch):
    found = iter([True, False] * 8)
    monkeypatch.setattr(CascadeDetector, "boxes", lambda self, image: [[0, 0, 9, 9]] if next(found) else [])
    stage(faces)
    assert metrics("faces") == {"candidates": 8, "found": 4, "chosen": 4, "references_with_face": 1}
    for tag, classes, face_classes in (("baseline_CC", 8, 0), ("face_CC", 12, 4)):
        stage(generate, tag)
        written = metrics("generate", tag)
        assert (written["classes"], written["images"]) == (classes, 4 * classes)
        assert measured_again("isc_track1/generate/" + tag) == {"images", "classes"}
        assert (written["face_classes"], written["dropped"]) == (face_classes, 0)
        assert ShardSet("data/isc_track1/training/" + tag).manifest.classes == classes
    stage(pairs)
    assert metrics("pairs")["images"] == 32 and metrics("pairs")["dropped"] == 0
    for tag in ("baseline_CC", "face_CC", "baseline_CC_pair"):
        for backbone in ("50", "ibn"):
            stage(train, "{} {}".format(tag, backbone))
            item = "{}-{}".format(tag, backbone)
            classes = {"baseline_CC": 8, "face_CC": 12, "baseline_CC_pair": 16}[tag]
            assert metrics("train", item) == {"classes": classes, "checkpoints": 1, "last_checkpoint": 0}
            assert os.path.isfile("models/isc_track1/logs/{}/{}/log.txt".format(tag, backbone))
            with open("plots/isc_track1/loss/{}.csv".format(item)) as file:
                header = file.readline().strip().split(",")
            assert header == ["step", "accuracy", "ce", "learning_rate", "loss", "triplet"]
            weights = "models/isc_track1/stripped/all/{}/{}".format(item, weights_name(tag, backbone))
            state = safe_load(weights)
            assert type(state) is OrderedDict
            assert not any(key.startswith(("module.", "classifier")) for key in state)
            whole = checkpoint.load("models/isc_track1/logs/{}/{}/checkpoint_0.pth.tar".format(tag, backbone))
            assert all(torch.equal(value, whole["state_dict"][key]) for key, value in state.items())
    before = os.stat("models/isc_track1/logs/baseline_CC/50").st_mtime_ns
    stage(train, "baseline_CC 50 --epochs 1 --warmup-step 5 --logs-dir by_hand")
    assert os.path.isfile("by_hand/checkpoint_0.pth.tar") and os.path.isfile("by_hand/loss.csv")
    assert os.stat("models/isc_track1/logs/baseline_CC/50").st_mtime_ns == before
    with open("fingerprints/isc_track1/train_by_hand/baseline_CC-50.json") as file:
        assert json.load(file)["published_flags"] == {"epochs": "1", "logs_dir": "by_hand"}


@pytest.mark.parametrize(
    "module, line, message",
    [
        (generate, "isc_100k_256", "isc_100k_256: expected one of baseline_CC"),
        (
            train,
            "baseline_CC 50 --epochs 3",
            "name its folder with --logs-dir, or change isc_track1.train in params",
        ),
        (train, "baseline_CC 50 -ds pairs --logs-dir x", "-ds pairs: expected isc_100k_256_big"),
        (train, "u_CC 50", "data/isc_track1/training/u_CC: no such folder"),
    ],
)
def test_bad_command_lines_are_refused(stage, module, line, message):
    with pytest.raises(Refusal, match=message):
        stage(module, line)


def test_a_recipe_that_names_processes_gets_them(stage, monkeypatch):
    started = []

    @contextlib.contextmanager
    def processes(count):
        started.append(count)
        yield

    monkeypatch.setattr(training_stage, "further_processes", processes)
    stage(generate, "baseline_CC")
    with open("params.yaml") as file:
        text = file.read()
    with open("params.yaml", "w") as file:
        file.write(text.replace("print_every: 1, workers: 0}", "print_every: 1, workers: 0, processes: 2}"))
    try:
        stage(train, "baseline_CC 50 --epochs 1 --logs-dir by_two")
    finally:
        with open("params.yaml", "w") as file:
            file.write(text)
    assert started == [2]
