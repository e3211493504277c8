"""A few drawn pictures in the layout of the stage `pictures`, and a network that learns them."""

import json

import numpy as np
from PIL import Image

from encore.systems.drip.network import NetworkShape
from encore.systems.drip.recipe import DripRecipe

SHAPE = NetworkShape("resnet", embedding=16, width=8, layers=(1, 1, 1, 1), small_stem=True, groups=4)
RECIPE = DripRecipe(
    seed=3,
    size=24,
    precision=32,
    limit_val_batches=0.5,
    w_passes=2,
    w_batch=5,
    w_chunk=8,
    text_layout="basic",
    save_every=2,
    print_every=1,
    workers=0,
    keep_bytes=10**7,
)
PARAMETERS = """
drip:
  network: {backbone: resnet, embedding: 16, width: 8, layers: [1, 1, 1, 1], small_stem: true, groups: 4}
  train: {seed: 3, size: 24, precision: 32, limit_val_batches: 0.5, w_passes: 2, w_batch: 5, w_chunk: 8,
          text_layout: basic, save_every: 2, print_every: 1, workers: 0, keep_bytes: 10000000, processes: 1}
  stages:
    c10: {from: start, n_facebook_samples: 10, batch_size: 4, qry_augs_intensity: 0.5, stop: {max_epochs: 3}}
    c16: {from: c10, n_facebook_samples: 10, n_imagenet_samples: 6, batch_size: 6, qry_augs_intensity: 0.6,
          stop: {max_epochs: 2}}
"""
"""The same as SHAPE and RECIPE, with two stages."""
CONFIG = """
backbone_name: resnet
embedding_size: 16
width: 8
layers: [1, 1, 1, 1]
small_stem: true
groups: 4
OUTPUT_WH: [24, 24]
precision: 32
N_WORKERS: 0
w_passes: 2
text_layout: basic
seed: 3
"""
"""The same for a run by hand."""


def draw_pictures(folder, training=14, imagenet=8):
    """Write pictures of coloured blobs, the list of ImageNet ids and two templates into `folder`."""
    random = np.random.RandomState(0)
    for name, letter, digits, count in (
        ("training_images", "T", 6, training),
        ("imagenet_images", "I", 7, imagenet),
    ):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            picture = blobs(random)
            picture.save(str(folder / name / "{}{:0{}d}.jpg".format(letter, number, digits)), quality=95)
    (folder / "ids").mkdir()
    ids = ["I%07d" % number for number in random.permutation(imagenet)]
    (folder / "ids" / "imagenet.txt").write_text("".join(name + "\n" for name in ids))
    templates = folder / "templates"
    templates.mkdir()
    boxes = {"mobile.png": [10, 10, 50, 60], "web.png": [5, 20, 90, 70]}
    for name in boxes:
        blobs(random, 100).save(str(templates / name))
    (templates / "bboxes.json").write_text(json.dumps(boxes))


def blobs(random, size=48):
    coarse = random.randint(0, 256, (4, 4, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.BICUBIC)
