"""A tiny size of Track 1's pipeline, and its stages run there, as dvc runs them."""

import os
import pickle
import sys

import pytest
import torch
from PIL import Image

from encore.models.resnet import ResNet
from encore.systems.isc_track1.backbones import start_weights_path

PARAMETERS = """
isc_track1:
  networks:
    resnet50: &n {layers: [1, 1, 1, 1], width: 2, hidden: 16, embedding: 32, matrix: null}
    resnet152: *n
    resnet_ibn50a: {layers: [1, 1, 1, 1], width: 2, hidden: 16, embedding: 32, matrix: null, ibn: true}
  test: {tags: [baseline_CC, face_CC], pair_tags: [baseline_CC_pair], backbones: ["50", ibn], groups: [all],
         scales: [32], multi_part_scale: 32}
  faces: {candidates: images, except_every: 2, most: null, references: references, face_del: null,
          detector: cascade, crops: false, workers: 1, pictures_per_chunk: 8, max_rejected: 0,
          cascade: {scale_factor: 1.15, step_ratio: 1.0, min_size: 36, max_size: 96, neighbours: 1},
          face_recognition: {upsample: 1}}
  generate: &g {images: images, every: 2, copies: 4, quality: 100, seed: 0, workers: 1, classes_per_shard: 8,
                max_rejected: 0,
                chain: {size: 32, foreign: references, foreign_pictures: 2, text_layout: basic}}
  pairs: {queries: images, references: references, ground_truth: null, workers: 1, pairs_per_shard: 99,
          held_out: {quality: 100, seed: 9, chain: {recipe: isc_100k_256_big, size: 32, foreign: references,
                                                    foreign_pictures: 2, text_layout: basic}}}
  train: {seed: 0, height: 32, width: 32, pad: 2, batch: 16, instances: 2, learning_rate: 0.01, epochs: 1,
          iterations: 2, schedule: [1, 2, 3], print_every: 1, workers: 0}
  train_pairs: {iterations: 1}
"""


@pytest.fixture(scope="module")
def size(tmp_path_factory):
    """A size's folder: 16 pictures, 8 of them classes, 4 of the others with a "face"; 2 references."""
    folder = tmp_path_factory.mktemp("size")
    for name, count, prefix in (("images", 16, "T"), ("references", 2, "R")):
        (folder / name).mkdir()
        for i in range(count):
            Image.effect_noise((48, 48), 20 + 5 * i).convert("RGB").save(
                str(folder / name / "{}{:06d}.png".format(prefix, i))
            )
    (folder / "inputs").mkdir()
    for name in ("training_images", "face_images", "foreign_images", "reference_images", "pair_queries"):
        (folder / "inputs" / (name + ".json")).write_text("{}")
    (folder / "params.yaml").write_text(PARAMETERS)
    torch.manual_seed(0)
    for name in ("50", "ibn"):
        os.makedirs(os.path.dirname(str(folder / start_weights_path(name))))
    torch.save(ResNet((1, 1, 1, 1), 2, classes=None).state_dict(), str(folder / start_weights_path("50")))
    state = ResNet((1, 1, 1, 1), 2, classes=None, ibn=True).state_dict()
    with open(str(folder / start_weights_path("ibn")), "wb") as file:
        pickle.dump({"model": state}, file)
    return folder


@pytest.fixture
def stage(size, monkeypatch):
    """Runs a stage's `main` with a command line in the folder."""
    monkeypatch.chdir(size)

    def run(module, line=""):
        monkeypatch.setattr(sys, "argv", [module.__name__] + line.split())
        module.main()

    return run
