"""The stages of the overlay detector and Track 2's crop step, run one after another in a small folder."""

import contextlib
import importlib
import io
import json
import os
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from encore.data.shard_writing import write_data_set
from encore.data.shards import ShardSet
from encore.detection.detections import Detections
from encore.runtime.stage import run_stage
from encore.systems.isc.generation import jpeg
from tests.measured_again import measured_again

PARAMETERS = {
    "isc_overlays": {
        "generate": {
            "images": "training",
            "every": 1,
            "copies": 2,
            "validation": 0.25,
            "quality": 100,
            "foreign": "training",
            "foreign_pictures": 8,
            "pasting": {"overlay_probability": 0.6},
            "pictures_per_shard": 4,
        },
        "train": {
            "shape": {"layers": [1, 1, 1, 1], "width": 4, "channels": 8, "anchors": [12, 24, 40], "size": 64},
            "start": None,
            "batch": 4,
            "epochs": 1,
            "warm_up_epochs": 0,
            "learning_rate": 0.001,
            "workers": 0,
        },
        "detect": {"detector": "retina_net", "confidence": 0.005, "most": 7, "batch": 2, "export": True},
    },
    "isc_track2": {
        "crop_overlays": {
            "detector": "detections",
            "detections": "data/isc_overlays_detections",
            "confidence": 0.005,
        }
    },
}


def run(folder, stage, changes=None):
    """Run a stage in `folder`, in this process -> (exit status, what it printed as an error)."""
    parameters = json.loads(json.dumps(PARAMETERS))
    for (system, section, key), value in (changes or {}).items():
        parameters[system][section][key] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters))
    before, arguments, errors = os.getcwd(), sys.argv, io.StringIO()
    try:
        os.chdir(str(folder))
        sys.argv = [stage]
        with contextlib.redirect_stderr(errors):
            run_stage(importlib.import_module("stages." + stage).main)
    except SystemExit as end:
        return end.code, errors.getvalue()
    finally:
        os.chdir(before)
        sys.argv = arguments
    return 0, errors.getvalue()


def metrics(folder, stage):
    return json.loads((folder / "metrics" / (stage.replace(".", "/") + ".json")).read_text())


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder in which all stages ran."""
    folder = tmp_path_factory.mktemp("size")
    for name in ("training", "inputs", "data"):
        (folder / name).mkdir()
    for i in range(8):
        Image.effect_noise((40, 40), 40 + 15 * i).convert("RGB").save(
            str(folder / "training/T{}.png".format(i))
        )
    for name in ("training_images", "foreign_images"):
        (folder / "inputs" / (name + ".json")).write_text('{"path": "training", "count": 8}')
    queries = folder / "data" / "isc_queries"
    queries.mkdir()
    images = [
        ("Q{:05d}.jpg".format(i), jpeg(Image.effect_noise((50 + 10 * i, 40), 60).convert("RGB"), 100), i)
        for i in range(5)
    ]
    write_data_set(str(queries), [images], lambda: lambda unit: unit, 1, "digest", 0, "queries")
    (queries / "ground_truth.csv").write_text("query_id,reference_id\n")
    stages = ["isc_overlays." + name for name in ("generate", "train", "detect")]
    for stage in stages + ["isc_track2.crop_overlays"]:
        assert run(folder, stage)[0] == 0
    return folder


def test_outputs_and_metrics(done):
    made = metrics(done, "isc_overlays.generate")
    assert made["images"] == 16 and made["boxes"] == made["training_boxes"] + made["validation_boxes"] > 0
    assert measured_again("isc_overlays/generate", done) == {"images"}
    assert (done / "data/isc_overlays/boxes.csv").is_file()
    trained = metrics(done, "isc_overlays.train")
    assert trained["validation_images"] == 4 and 0 <= trained["average_precision"] <= 1
    assert measured_again("isc_overlays/train", done) >= {"average_precision", "validation_images"}
    assert sorted(os.listdir(str(done / "models/isc_overlays")))[0] == "detector.pth"
    assert not (done / "models/isc_overlays/checkpoint.pth").exists()
    found = metrics(done, "isc_overlays.detect")
    assert found["queries"] == 5 and 0 < found["detections"] <= 5 * 7
    assert os.listdir(str(done / ".work/isc_overlays.detect")) == ["lock"]


def test_detections_of_all_queries_and_the_published_files(done):
    detections = Detections.open(done / "data/isc_overlays_detections")
    queries = ShardSet(done / "data/isc_queries")
    assert detections.names == queries.names and detections.size == 64
    for name in queries.names:
        path = done / "data/isc_overlays_detections" / (name + ".npy")
        assert path.exists() == bool(len(detections.of(name)))
        if path.exists():
            assert (np.load(str(path)) == detections.of(name)).all()


def test_the_crop_step_changes_the_queries_with_an_overlay(done):
    detections = Detections.open(done / "data/isc_overlays_detections")
    source, result = ShardSet(done / "data/isc_queries"), ShardSet(done / "data/isc_queries_cropped")
    with_overlay = [bool((detections.of(name)[:, 5] == 0).any()) for name in source.names]
    assert [source.read(i) != result.read(i) for i in range(len(source))] == with_overlay
    assert metrics(done, "isc_track2.crop_overlays") == {"cropped": sum(with_overlay), "queries": 5}
    assert metrics(done, "isc_overlays.detect")["with_overlay"] == sum(with_overlay)


def test_published_detections_take_the_detectors_place(done):
    (done / "published").mkdir()
    rows = np.array([[1, 2, 30, 40, 0.9, 0], [1, 2, 30, 40, 0.2, 1]])
    np.save(str(done / "published" / "Q00002.jpg.npy"), rows)
    changes = {
        ("isc_overlays", "detect", "detector"): "published",
        ("isc_overlays", "detect", "published"): "published",
    }
    before = (done / "data/isc_overlays_detections/detections.npz").read_bytes()
    missing = dict(changes)
    missing["isc_overlays", "detect", "published"] = "nowhere"
    status, message = run(done, "isc_overlays.detect", missing)
    assert status == 2 and "nowhere: missing: place the published detections there" in message
    np.save(str(done / "published" / "Q00009.jpg.npy"), rows)
    status, message = run(done, "isc_overlays.detect", changes)
    assert status == 2 and "the first is Q00009.jpg" in message
    assert (done / "data/isc_overlays_detections/detections.npz").read_bytes() == before
    os.unlink(str(done / "published" / "Q00009.jpg.npy"))
    assert run(done, "isc_overlays.detect", changes)[0] == 0
    detections = Detections.open(done / "data/isc_overlays_detections")
    assert detections.size == 640 and (detections.of("Q00002.jpg") == rows.astype(np.float32)).all()
    expected = {"queries": 5, "with_overlay": 1, "detections": 2}
    assert metrics(done, "isc_overlays.detect") == expected


@pytest.mark.parametrize(
    "stage, changes, message",
    [
        (
            "isc_overlays.detect",
            {("isc_overlays", "detect", "detector"): "published"},
            "needs the key published",
        ),
        (
            "isc_overlays.train",
            {("isc_overlays", "train", "start"): "models/none.pth"},
            "models/none.pth: missing",
        ),
        ("isc_track2.crop_overlays", {("isc_track2", "crop_overlays", "detections"): None}, "needs the key"),
        (
            "isc_overlays.generate",
            {("isc_overlays", "generate", "pasting"): {"emoji_size": [0.5, 0.2]}},
            "emoji_size must be",
        ),
    ],
)
def test_bad_parameters_are_one_line(done, stage, changes, message):
    status, printed = run(done, stage, changes)
    assert status == 2
    assert message in printed and printed.count("encore: ") == 1
