"""A few small pictures in the published layout, and the views of a training stage on them."""

import os

import numpy as np
from PIL import Image

from encore.systems.drip.class_views import build_views
from encore.systems.drip.samples import SampleIds, TrainingSamples
from tests.encore.data.augment import drip_golden

SIZE = 48


def write_pictures(root, training=8, imagenet=4, side=96):
    """`root`/{training_images,imagenet_images} with so many JPEG files of smooth colours."""
    for folder, letter, digits, count in (
        ("training_images", "T", 6, training),
        ("imagenet_images", "I", 7, imagenet),
    ):
        os.makedirs(os.path.join(str(root), folder))
        for number in range(count):
            draws = np.random.RandomState(1000 * ord(letter) + number)
            small = Image.fromarray(draws.randint(0, 256, (4, 4, 3), dtype=np.uint8))
            name = "{}{:0{}d}.jpg".format(letter, number, digits)
            small.resize((side, side), Image.BICUBIC).save(os.path.join(str(root), folder, name))
    return str(root)


def samples(classes=8, pool=4):
    return TrainingSamples(
        SampleIds.numbered("T", np.arange(classes)), SampleIds.numbered("I", np.arange(pool))
    )


def views(root, classes=8, intensity=0.75, **changed):
    """The ClassViews of T000000 to T<classes - 1> of what `write_pictures` wrote."""
    given = dict(size=SIZE, **changed)
    return build_views(
        samples(classes), root, drip_golden.assets(), drip_golden.templates(), intensity, **given
    )
