"""The stage that provides the start weights of a backbone of Track 1, run as a user runs it."""

import json
import os
import sys

import pytest
import torch
import yaml

from encore.data.image_source import open_source
from encore.models.resnet import ResNet
from encore.runtime import hardware
from encore.runtime.atomic import file_digest
from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.backbones import start_weights_path
from encore.systems.momentum2_teacher.published_files import read_backbone, write_backbone
from stages.isc_track1 import pretrain

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PHOTOS = os.path.join(ROOT, "mini", "photos.tar#training")
NETWORK = dict(layers=[1, 1, 1, 1], width=4, hidden=16, embedding=32, matrix=None)
RECIPE = dict(
    size=24,
    batch=64,
    replicas=2,
    epochs=2,
    warm_up_epochs=1,
    hidden=16,
    embedding=8,
    learning_rate=1.0,
    workers=0,
)
NONE = dict(published=None, sha256=None, images=None, barlow_twins=None, momentum2_teacher=None, resume=None)
NOW = dict(NONE, images=PHOTOS, momentum2_teacher=RECIPE)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the stage in an empty folder with these parameters."""

    def call(backbone, resnet152, resnet_ibn50a=NOW, resnet50=NOW):
        networks = dict(resnet50=NETWORK, resnet152=NETWORK, resnet_ibn50a=dict(NETWORK, ibn=True))
        pretraining = dict(resnet50=resnet50, resnet152=resnet152, resnet_ibn50a=resnet_ibn50a)
        section = dict(networks=networks, pretrain=pretraining)
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(dict(isc_track1=section)))
        (tmp_path / "inputs").mkdir(exist_ok=True)
        (tmp_path / "inputs" / "training_images.json").write_text('{"path": "photos"}')
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv(hardware.ACCEPT, "1")
        monkeypatch.setattr(sys, "argv", ["pretrain", backbone])
        pretrain.main()

    return call


def metrics(folder, name):
    return json.loads((folder / "metrics" / "isc_track1" / "pretrain" / (name + ".json")).read_text())


def published_file(path, **values):
    torch.manual_seed(1)
    write_backbone(str(path), ResNet((1, 1, 1, 1), 4, classes=None, **values).state_dict())
    return str(path)


def test_a_backbone_is_pre_trained(tmp_path, run):
    run("ibn", dict(NONE, published="not read"))
    found = read_backbone(str(tmp_path / start_weights_path("ibn")))
    assert list(found) == list(ResNet((1, 1, 1, 1), 4, classes=None, ibn=True).state_dict())
    written = metrics(tmp_path, "ibn")
    assert written["steps"] == 2 * 3 and 0 < written["last_loss"] < 8 and 0 < written["first_loss"] < 8


def test_the_published_file_is_checked_and_copied(tmp_path, run):
    path = published_file(tmp_path / "byol_152.pkl")
    run("152", dict(NONE, published=path, sha256=file_digest(path)))
    assert file_digest(str(tmp_path / start_weights_path("152"))) == file_digest(path)
    assert metrics(tmp_path, "152") == {"steps": 0}


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda folder: NONE, "resnet152: give exactly one of published, barlow_twins and momentum2_teacher"),
        (
            lambda folder: dict(NOW, published="x"),
            "give exactly one of published, barlow_twins and momentum2_teacher",
        ),
        (lambda folder: dict(NOW, images=None), "a pre-training needs images"),
        (lambda folder: dict(NOW, resume="gone.pth.tar"), "gone.pth.tar: missing"),
        (lambda folder: dict(NONE, published="absent.pkl"), "absent.pkl: missing"),
        (
            lambda folder: dict(NONE, published=published_file(folder / "x.pkl"), sha256="0" * 64),
            "expected 0000",
        ),
        (
            lambda folder: dict(NONE, published=published_file(folder / "other.pkl", ibn=True)),
            "other.pkl lacks layer1.0.bn1.bias",
        ),
        (
            lambda folder: dict(NOW, momentum2_teacher=dict(RECIPE, shape=NETWORK)),
            "the network's shape belongs in isc_track1.networks",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, run, change, named):
    with pytest.raises(Refusal) as refused:
        run("152", change(tmp_path))
    assert named in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "models").exists()


def test_another_backbone_is_no_argument(run):
    with pytest.raises(SystemExit):
        run("18", NOW)


BARLOW = dict(
    seed=3,
    size=24,
    batch=64,
    epochs=2,
    warm_up_epochs=1,
    projector=[16, 16],
    workers=0,
    learning_rate_weights=1.0,
)


def test_resnet_50_is_pre_trained_by_barlow_twins(tmp_path, run):
    run("50", NOW, resnet50=dict(NONE, images=PHOTOS, barlow_twins=BARLOW))
    found = read_backbone(str(tmp_path / start_weights_path("50")))
    assert list(found) == list(ResNet((1, 1, 1, 1), 4, classes=None).state_dict())
    assert metrics(tmp_path, "50")["steps"] == 2 * 3


def test_barlow_twins_has_no_ibn_backbone(run):
    with pytest.raises(
        Refusal, match="isc_track1.pretrain.resnet_ibn50a: barlow_twins has no IBN-a backbone"
    ):
        run("ibn", NOW, resnet_ibn50a=dict(NONE, images=PHOTOS, barlow_twins=BARLOW))


@pytest.mark.parametrize(
    ("backbone", "method"),
    [
        ("152", dict(momentum2_teacher=dict(RECIPE, batch=8, epochs=2))),
        ("50", dict(barlow_twins=dict(BARLOW, batch=8))),
    ],
)
def test_class_folders_are_read_as_their_pictures_in_one_folder(tmp_path, run, backbone, method):
    source = open_source(PHOTOS)
    for i in range(12):
        for folder, name in (("flat", "{:02d}.png"), ("train/n{}".format(i // 4), "{:02d}.png")):
            os.makedirs(str(tmp_path / folder), exist_ok=True)
            (tmp_path / folder / name.format(i)).write_bytes(source.read(i))
    made = []
    for images in ("flat", "train"):
        section = dict(NONE, images=images, **method)
        run(backbone, section, resnet50=section if backbone == "50" else NOW)
        made.append(read_backbone(start_weights_path(backbone)))
        assert metrics(tmp_path, backbone)["steps"] == 2
    assert list(made[0]) == list(made[1]) and all(
        torch.equal(made[0][name], made[1][name]) for name in made[0]
    )
