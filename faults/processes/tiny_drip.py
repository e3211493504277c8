"""A tiny size of a training stage of the drip: 14 drawn pictures, 10 of them classes, views of 24 pixels."""

from __future__ import annotations

import json
import os

import numpy as np
import yaml
from PIL import Image

from encore.systems.drip.backbone_start import StartParameters, write_start
from encore.systems.drip.network import NetworkShape

SYSTEM = "drip"
MODULE = "stages.drip.train"
ARGUMENTS = ("c10",)
WORK = ".work/drip.train.c10/*/lightning_logs/version_0/checkpoints"
OUTPUT = "models/drip/c10"
LAST = "lightning_logs/version_0/checkpoints/last.ckpt"
SHAPE = dict(backbone="resnet", embedding=16, width=8, layers=[1, 1, 1, 1], small_stem=True, groups=4)


def build(folder, max_epochs=3, **train):
    """Make the size in the new `folder`, with one stage; train: values of drip.train that differ."""
    pictures = os.path.join(folder, "data", SYSTEM, "pictures")
    draw_pictures(pictures)
    for place, _, names in os.walk(pictures):
        for name in names:  # a stage's identity holds the times of its pictures
            os.utime(os.path.join(place, name), (0, 0))
    start = os.path.join(folder, "models", SYSTEM, "start")
    os.makedirs(start)
    shape = NetworkShape(**dict(SHAPE, layers=tuple(SHAPE["layers"])))
    write_start(os.path.join(start, "backbone.pth"), shape, StartParameters())
    values = dict(seed=3, size=24, precision=32, limit_val_batches=0.5, w_passes=2, w_batch=5, w_chunk=8)
    values.update(text_layout="basic", save_every=1, print_every=1, workers=0, keep_bytes=10**7, processes=1)
    values.update(train)
    stage = {"from": "start", "n_facebook_samples": 10, "batch_size": 4, "qry_augs_intensity": 0.5}
    stage["stop"] = {"max_epochs": max_epochs}
    with open(os.path.join(folder, "params.yaml"), "w", encoding="utf-8") as file:
        yaml.safe_dump({SYSTEM: {"network": SHAPE, "train": values, "stages": {"c10": stage}}}, file)


def draw_pictures(folder, training=14, imagenet=8):
    """Write pictures of coloured blobs, the list of ImageNet ids and two templates into `folder`."""
    draw = np.random.RandomState(0)
    kinds = (("training_images", "T%06d.jpg", training), ("imagenet_images", "I%07d.jpg", imagenet))
    for name, form, count in kinds:
        os.makedirs(os.path.join(folder, name))
        for number in range(count):
            _blobs(draw).save(os.path.join(folder, name, form % number), quality=95)
    os.makedirs(os.path.join(folder, "ids"))
    with open(os.path.join(folder, "ids", "imagenet.txt"), "w", encoding="utf-8") as file:
        file.writelines("I%07d\n" % number for number in range(imagenet))
    templates = os.path.join(folder, "templates")
    os.makedirs(templates)
    boxes = {"mobile.png": [10, 10, 50, 60], "web.png": [5, 20, 90, 70]}
    for name in boxes:
        _blobs(draw, 100).save(os.path.join(templates, name))
    with open(os.path.join(templates, "bboxes.json"), "w", encoding="utf-8") as file:
        json.dump(boxes, file)


def _blobs(draw, size=48):
    coarse = draw.randint(0, 256, (4, 4, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
