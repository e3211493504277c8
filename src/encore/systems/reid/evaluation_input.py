"""A picture as the published evaluation shows it to the network (spec reid 5.1, step 2)."""

from __future__ import annotations

import numpy as np

from encore.data.augment.opencv_bilinear import resize_bilinear, resize_picture
from encore.data.images import RejectedImage, decode_image
from encore.data.training_transform import IMAGENET_MEAN, IMAGENET_STD

READABLE = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes of 8-bit pictures; deeper ones would be cut in silence."""


def _normalisation():
    """float32 (3, 256): the input value of each byte of each channel, the published bits: the quotient by 255
    is rounded to float32, the rest is computed in float64."""
    quotient = (np.arange(256) / 255.0).astype(np.float32).astype(np.float64)
    mean, deviation = np.array(IMAGENET_MEAN)[:, None], np.array(IMAGENET_STD)[:, None]
    return ((quotient - mean) / deviation).astype(np.float32)


_VALUES = _normalisation()


def rgb_picture(data):
    """The bytes of one picture -> Pillow picture in RGB, turned upright as OpenCV's reader turns a JPEG with
    an orientation tag; RejectedImage says why one cannot be read."""
    from PIL import ImageOps

    image = decode_image(data)
    if image.mode not in READABLE:
        raise RejectedImage("pixels of Pillow's mode {}, expected 8-bit colour or grey".format(image.mode))
    if image.format == "JPEG":
        image = ImageOps.exif_transpose(image)
    return image.convert("RGB")


def evaluation_input(data, size):
    """The bytes of one picture -> float32 (3, height, width): OpenCV's bilinear resize to `size` = (height,
    width), then ImageNet's mean and deviation, whatever training used (published); RejectedImage says why a
    picture cannot be read."""
    height, width = size
    return normalised_planes(np.asarray(resize_picture(rgb_picture(data), (width, height))))


def input_of_bgr(pixels, size):
    """The same of a decoded picture, uint8 (h, w, 3) in OpenCV's order blue, green, red."""
    height, width = size
    return normalised_planes(resize_bilinear(np.ascontiguousarray(pixels[:, :, ::-1]), (width, height)))


def normalised_planes(pixels):
    """uint8 (h, w, 3) in RGB -> float32 (3, h, w), normalised by ImageNet's mean and deviation."""
    return np.stack([_VALUES[channel][pixels[:, :, channel]] for channel in range(3)])


def evaluation_size(config):
    """(height, width) of evaluation inputs for an evaluator's config.

    S: img_h, img_w. H: crop_h, crop_w of data_augmentation where both are positive, else img_h, img_w
    (published: a block with a crop of 0 crashes).
    """
    crop = config.get("data_augmentation") or {}
    is_cropped = (config.get("encore") or {}).get("state") == "H"
    if is_cropped and min(crop.get("crop_h", 0), crop.get("crop_w", 0)) > 0:
        return int(crop["crop_h"]), int(crop["crop_w"])
    return int(config["img_h"]), int(config["img_w"])
