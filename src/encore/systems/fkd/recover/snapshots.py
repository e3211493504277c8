"""Pictures in the making: kept at chosen iterations, shown as one strip a class."""

from __future__ import annotations

import os
import re

import numpy as np
from PIL import Image

from encore.runtime.atomic import replacing

FOLDER = "snapshots"
NAME = re.compile(r"class(\d+)_(\d+)\.png")


def write(records, recipe, batch, iteration, pixels):
    """Keep the pictures uint8 (n, h, w, 3) of `batch` after `iteration` iterations: those of slot 0 and of
    the first recipe.snapshot_classes classes."""
    for class_id, slot, kept, picture in zip(batch.classes, batch.slots, batch.kept, pixels):
        if kept and slot == 0 and class_id < recipe.snapshot_classes:
            os.makedirs(os.path.join(records, FOLDER), exist_ok=True)
            name = "class%05d_%07d.png" % (class_id, iteration)
            with replacing(os.path.join(records, FOLDER, name)) as file:
                Image.fromarray(picture).save(file, "PNG")


def write_strips(records, folder):
    """Write the kept pictures of each class, side by side in the order of iterations, to
    `folder`/class00000.png and so on -> {class: iterations}. The folder is made where none are kept too."""
    os.makedirs(folder, exist_ok=True)
    found = {}
    place = os.path.join(records, FOLDER)
    for name in sorted(os.listdir(place)) if os.path.isdir(place) else []:
        match = NAME.fullmatch(name)
        if match:
            found.setdefault(int(match.group(1)), []).append((int(match.group(2)), name))
    for class_id, entries in found.items():
        pictures = []
        for _, name in entries:
            with Image.open(os.path.join(place, name)) as image:
                pictures.append(np.asarray(image))
        with replacing(os.path.join(folder, "class%05d.png" % class_id)) as file:
            Image.fromarray(np.concatenate(pictures, 1)).save(file, "PNG")
    return {class_id: [iteration for iteration, _ in entries] for class_id, entries in found.items()}
