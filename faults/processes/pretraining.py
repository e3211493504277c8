"""Pre-training on several processes: Momentum²-Teacher, which has replicas, and Barlow Twins, which has none.

Momentum²-Teacher ends in the same bits on 1, 2 and 4 processes. Barlow Twins shares one batch, and each
process adds up its own pictures: what it ends with agrees to WITHIN of the way that it has come.
"""

from __future__ import annotations

import dataclasses
import json

import torch
import yaml

from encore.runtime.safe_load import safe_load
from encore.systems import barlow_twins
from encore.systems.isc_track1.backbones import start_weights_path
from encore.systems.momentum2_teacher.published_files import read_backbone
from faults.numerical.pretraining import BARLOW, IMAGES, MOMENTUM2, draw_pictures
from faults.processes.shared_run import SharedStage, shared_rows

AT = (1, 1)
WITHIN = 1e-3
"""Bound on the difference of two runs of Barlow Twins, of the weights and of the running statistics, relative
to how far they have moved from the start. Measured with seeds 0 to 5: the rounding of float32 makes at most
1.7e-5 of it, BatchNorm over each process' own share, which is another recipe, at least 0.12."""
NETWORK = dict(layers=[1, 1, 1, 1], width=4, hidden=16, embedding=32, matrix=None)
NONE = dict(
    published="none", sha256=None, images=None, barlow_twins=None, momentum2_teacher=None, resume=None
)


def rows(full):
    """Yield the Rows, all of the full suite: in short both are shared by the tests of their systems."""
    if full:
        yield from shared_rows(MOMENTUM2_STAGE, full)
        yield from shared_rows(BARLOW_STAGE, full)


def _prepare_images(folder):
    draw_pictures(folder / "pictures")
    (folder / "inputs").mkdir()
    (folder / "inputs" / "training_images.json").write_text(
        json.dumps({"path": "pictures"}), encoding="utf-8"
    )


def prepare_track1(folder):
    """Write pictures and the parameters of ResNet-152's pre-training, with 4 replicas, into a folder."""
    _prepare_images(folder)
    recipe = dataclasses.asdict(dataclasses.replace(MOMENTUM2, replicas=4, save_every=1))
    del recipe["shape"]
    now = dict(NONE, published=None, images="pictures", momentum2_teacher=recipe)
    networks = dict(resnet50=NETWORK, resnet152=NETWORK, resnet_ibn50a=dict(NETWORK, ibn=True))
    section = dict(networks=networks, pretrain=dict(resnet50=NONE, resnet152=now, resnet_ibn50a=NONE))
    (folder / "params.yaml").write_text(yaml.safe_dump({"isc_track1": section}), encoding="utf-8")


def left_of_track1(folder):
    """The start weights and the losses."""
    metrics = (folder / "metrics" / "isc_track1" / "pretrain" / "152.json").read_bytes()
    return {"metrics": metrics, "weights": dict(read_backbone(str(folder / start_weights_path("152"))))}


def prepare_track2(folder):
    """Write pictures and the parameters of Track 2's pre-training into a folder."""
    _prepare_images(folder)
    recipe = dataclasses.asdict(dataclasses.replace(BARLOW, save_every=1))
    recipe["projector"] = list(recipe["projector"])
    recipe["layers"] = list(recipe["layers"])
    section = dict(network=NETWORK, pretrain=dict(images="pictures", barlow_twins=recipe))
    (folder / "params.yaml").write_text(yaml.safe_dump({"isc_track2": section}), encoding="utf-8")


def left_of_track2(folder):
    """The start weights."""
    return dict(safe_load(str(folder / "models" / "isc_track2" / "start.pth")))


def start_of_track2():
    """The state dict that the run of Barlow Twins starts with."""
    training = barlow_twins.Training(BARLOW, IMAGES // BARLOW.batch, torch.device("cpu"))
    return training.network["backbone"].state_dict()


def nearly(one, other):
    """Whether two state dicts that a run of Barlow Twins ended with agree to WITHIN; counts must be the
    same."""
    start = start_of_track2()
    if not list(one) == list(other) == list(start):
        return False
    floats = [name for name, tensor in start.items() if tensor.is_floating_point()]
    statistics = [name for name in floats if "running_" in name]
    weights = [name for name in floats if name not in statistics]
    counts = [name for name in start if name not in floats]
    return all(torch.equal(one[name], other[name]) for name in counts) and all(
        _far(one, other, names) <= WITHIN * _far(other, start, names) for names in (weights, statistics)
    )


def _far(one, other, names):
    """The norm of the difference of those tensors, all together."""
    return torch.cat([(one[name].double() - other[name].double()).reshape(-1) for name in names]).norm()


MOMENTUM2_STAGE = SharedStage(
    "isc_track1_pretrain", "stages.isc_track1.pretrain", ("152",), prepare_track1, left_of_track1, AT
)
BARLOW_STAGE = SharedStage(
    "isc_track2_pretrain", "stages.isc_track2.pretrain", (), prepare_track2, left_of_track2, AT, nearly
)
