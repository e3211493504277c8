"""The stage that makes the labels, as dvc runs it and by hand in ranges of epochs."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from golden_files import FOLDER

from encore.data.class_folders import ClassFolders
from encore.runtime.refusal import Refusal
from encore.systems.fkd.labels import open_labels
from encore.systems.fkd.networks import NetworkShape, build
from stages.fkd import relabel

PARAMETERS = """
fkd:
  network: {name: resnet18, classes: 5, small_stem: true, width: 4, layers: [1, 1, 1, 1]}
  relabel:
    published_layout: true
    recipe: {batch: 16, epochs: 2, size: 16, workers: 1}
"""


@pytest.fixture()
def size(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMETERS)
    shutil.copytree(str(FOLDER / "fkd" / "images"), str(tmp_path / "data" / "fkd" / "synthetic"))
    (tmp_path / "models" / "fkd").mkdir(parents=True)
    teacher = build(NetworkShape("resnet18", 5, True, 4, (1, 1, 1, 1)), 1)
    torch.save(teacher.state_dict(), str(tmp_path / "models" / "fkd" / "teacher.pth"))
    return tmp_path


def start(size):
    root = os.path.dirname(os.path.dirname(str(FOLDER)))
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([root, os.path.join(root, "src")]))
    return subprocess.run(
        [sys.executable, "-m", "stages.fkd.relabel"], cwd=str(size), env=environment, stderr=subprocess.PIPE
    )


@pytest.fixture()
def here(size, monkeypatch):
    """Runs the stage in this process."""

    def run(*arguments):
        monkeypatch.chdir(size)
        monkeypatch.setattr(sys, "argv", ["relabel"] + list(arguments))
        relabel.main()

    return run


def contents(folder):
    return {name: (folder / name).read_bytes() for name in os.listdir(str(folder))}


def test_pipeline_and_ranges_by_hand(size, here, capsys):
    finished = start(size)
    assert finished.returncode == 0, finished.stderr.decode()
    labels = open_labels(size / "data/fkd/labels/store")
    images = ClassFolders(size / "data/fkd/synthetic")
    labels.check(images, 16, 2, 42, "cutmix", size=16)
    published = open_labels(str(size / "data/fkd/labels/published") + "/")
    for epoch in range(2):
        for number in range(3):
            found, expected = (each.load(epoch, number) for each in (published, labels))
            assert torch.equal(found.logits, expected.logits) and found.mix.box == expected.mix.box
    with open(str(size / "metrics/fkd/relabel.json")) as file:
        metrics = json.load(file)
    assert metrics["pictures"] == 40 and metrics["epochs"] == 2 and metrics["batches"] == 6
    assert 30 < metrics["bytes_per_picture"] < 200
    with open(str(size / "fingerprints/fkd/relabel.json")) as file:
        record = json.load(file)
    assert record["pictures_digest"] == images.digest and len(record["teacher_sha256"]) == 64

    here("--output", "elsewhere", "--epoch-start", "1")
    assert "epochs 1 to 1 are there, others are missing" in capsys.readouterr().out
    assert not (size / "elsewhere" / "manifest.json").exists()
    here("--output", "elsewhere", "--epoch-end", "1")
    assert contents(size / "elsewhere") == contents(size / "data" / "fkd" / "labels" / "store")


def test_refusals(size, here):
    with pytest.raises(Refusal, match="a folder of its own: --output"):
        here("--epoch-start", "1")
    (size / "params.yaml").write_text(PARAMETERS.replace("size: 16", "size: 16, top_k: 2, temperature: 4"))
    with pytest.raises(Refusal, match="leave top_k out"):
        here()
    (size / "models/fkd/teacher.pth").unlink()
    (size / "params.yaml").write_text(PARAMETERS)
    with pytest.raises(Refusal, match="teacher.pth: missing"):
        here()
