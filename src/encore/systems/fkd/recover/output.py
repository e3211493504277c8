"""The finished pictures as files, named and made as published."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from encore.runtime.atomic import replacing


def picture_name(class_id, slot, digits=3):
    """`new007/class007_id003.jpg`, with `digits` for the class; padded, so that folders sort by class."""
    return "new{0:0{2}d}/class{0:0{2}d}_id{1:03d}.jpg".format(class_id, slot, digits)


def as_bytes(values):
    """float32 (n, 3, h, w) from 0 to 1 -> uint8 (n, h, w, 3), truncated and not rounded, as published."""
    values = np.asarray(values, np.float32)
    return (values.transpose(0, 2, 3, 1) * np.float32(255)).astype(np.uint8)


def write_picture(folder, name, pixels):
    """Write uint8 (h, w, 3) as JPEG with Pillow's default quality (75, colours at half the resolution)."""
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with replacing(path) as file:
        Image.fromarray(pixels).save(file, "JPEG")
