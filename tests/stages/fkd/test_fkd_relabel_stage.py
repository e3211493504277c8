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
from tests.measured_again import measured_again

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
    assert measured_again("fkd/relabel", size) == {"batches"}
    assert 30 < metrics["bytes_per_picture"] < 200
    with open(str(size / "fingerprints/fkd/relabel.json")) as file:
        record = json.load(file)
    assert record["pictures_digest"] == images.digest and len(record["teacher_sha256"]) == 64

    here("--output", "elsewhere", "--epoch-start", "1")
    assert "epochs 1 to 1 are there, others are missing" in capsys.readouterr().out
    assert not (size / "elsewhere" / "manifest.json").exists()
    here("--output", "elsewhere", "--epoch-end", "1")
    assert contents(size / "elsewhere") == contents(size / "data" / "fkd" / "labels" / "store")


def test_a_lost_batch_or_epoch_changes_what_is_counted(size):
    assert start(size).returncode == 0
    labels = open_labels(size / "data/fkd/labels/store")
    assert relabel.stored_batches(labels).tolist() == [3, 3]
    path = labels.epoch_path(1)
    with open(path, "rb") as file:
        data = bytearray(file.read())
    stored = labels.stored_pictures(1).tobytes()
    assert len(stored) == 80 and data.count(stored) == 1  # int16, 40 pictures
    start_of = data.index(stored)
    data[start_of + 32 : start_of + 64] = bytes(32)  # batch 1 of 16 was never written
    with open(path, "wb") as file:
        file.write(data)
    lost = open_labels(size / "data/fkd/labels/store")
    assert relabel.stored_batches(lost)[0] == 3 > relabel.stored_batches(lost)[1]


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


PUBLISHED = (
    "-a resnet18 -b 16 -j 1 --epochs 2 --input-size 16 --min-scale-crops 0.08 --max-scale-crops 1 --use-fp16 "
    "--fkd-path made/FKD_cutmix_fp16/ --mode fkd_save --mix-type cutmix --data data/fkd/synthetic"
)


def test_a_published_command_line_makes_the_labels_of_the_same_values(size, here, capsys):
    here("--output", "labels")
    here(*PUBLISHED.split() + "--gpu 0 --world-size 2 --multiprocessing-distributed --epoch-end 1".split())
    printed = capsys.readouterr()
    assert "FKD_cutmix_fp16_store: epochs 0 to 0 are there, others are missing" in printed.out
    warned = [line.split(": ")[2] for line in printed.err.splitlines() if "accepted and ignored" in line]
    assert warned == ["--gpu 0", "--world-size 2", "--multiprocessing-distributed"]
    here(*PUBLISHED.split())
    assert contents(size / "made" / "FKD_cutmix_fp16_store") == contents(size / "labels")
    published = open_labels(size / "made" / "FKD_cutmix_fp16")
    expected = open_labels(size / "labels_published")
    assert (published.epochs, published.batches, published.mix) == (2, 3, "cutmix")
    for epoch in range(2):
        for number in range(3):
            found, wanted = (each.load(epoch, number) for each in (published, expected))
            for one, other in ((found, wanted), (found.mix, wanted.mix)):
                for name, value in other._asdict().items():
                    if torch.is_tensor(value):
                        assert torch.equal(getattr(one, name), value), name
            assert (found.mix.share, found.mix.box) == (wanted.mix.share, wanted.mix.box)
    record = size / "fingerprints" / "fkd" / "relabel_by_hand" / "FKD_cutmix_fp16_store.0-end.json"
    assert json.loads(record.read_text())["published_flags"]["mix"] == "cutmix"
    assert not (size / "metrics").exists()  # the pipeline's metrics stay those of its own run


def test_published_flags_that_are_not_typed_have_their_published_defaults(size, here):
    text = PARAMETERS.replace("published_layout: true", "published_layout: false")
    (size / "params.yaml").write_text(text.replace("size: 16", "size: 16, top_k: 2, temperature: 4"))
    here(*"--data data/fkd/synthetic --epochs 1 --input-size 16 -j 0".split())
    labels = open_labels(size / "FKD_soft_label")
    assert (labels.batch, labels.batches, labels.mix, labels.dtype) == (4, 10, "none", "float32")
    assert open_labels(size / "FKD_soft_label_store").top_k is None


def test_another_teacher_comes_with_its_weights(size, here):
    teacher = build(NetworkShape("resnet34", 5, True), 1)
    torch.save(teacher.state_dict(), str(size / "resnet34.pth"))
    flags = "-a resnet34 --data data/fkd/synthetic -b 16 -j 0 --epochs 1 --input-size 8 --fkd-path FKD"
    with pytest.raises(Refusal, match="--arch resnet34: .* with --arch-path"):
        here(*flags.split())
    here(*flags.split() + ["--arch-path", "resnet34.pth"])
    assert open_labels(size / "FKD").classes == 5


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("-b 16", "--data: missing: name the folder"),
        (PUBLISHED + " --output elsewhere", "--output: published flags name their folder with --fkd-path"),
        (PUBLISHED + " --mode fkd_load", "--mode fkd_load: fkd_save alone"),
        (PUBLISHED + " --fkd-path data/fkd", "--fkd-path data/fkd: holds files .* data/fkd_store: remove it"),
        (PUBLISHED + " --epochs 0", "flags.epochs: expected 1"),
        (PUBLISHED + " --min-scale-crops 0", "min_scale and max_scale: expected"),
        (PUBLISHED + " --arch-path none.pth", "none.pth: missing"),
        (PUBLISHED + " --data nowhere", "nowhere: missing"),
    ],
)
def test_published_flags_that_do_not_fit_are_refused(size, here, arguments, message):
    before = sorted(os.listdir(str(size)))
    with pytest.raises(Refusal, match=message):
        here(*arguments.split())
    assert [name for name in sorted(os.listdir(str(size))) if name != ".work"] == before


def test_labels_of_other_values_are_not_mixed_in(size, here):
    here(*PUBLISHED.split() + ["--epoch-end", "1"])
    with pytest.raises(Refusal, match="made/FKD_cutmix_fp16_store"):
        here(*PUBLISHED.split() + ["--seed", "1"])
