"""A small Market-shaped set, and a network that tells its people apart without training."""

import types

import numpy as np
import torch
from torch import nn

from encore.systems.reid.evaluation_pictures import EvaluationPictures
from tests.encore.systems.reid.reid_pictures import write

SIZE = (32, 16)

# The worked example: name of each gallery picture, and its scores for four queries.
WORKED = {
    "0001_c1s1": (0.99, 0.50, 0.70, 0.10),
    "0001_c2s1": (0.60, 0.45, 0.20, 0.20),
    "0001_c3s1": (0.40, 0.10, 0.15, 0.30),
    "0002_c2s1": (0.95, 0.90, 0.60, 0.40),
    "0002_c3s2": (0.20, 0.89, 0.30, 0.50),
    "-1_c3s1": (0.97, 0.99, 0.98, 0.60),
    "0000_c4s1": (0.80, 0.30, 0.90, 0.70),
    "0003_c1s1": (0.30, 0.88, 0.75, 0.80),
    "0003_c5s1": (0.25, 0.05, 0.80, 0.90),
    "0001_c6s1": (0.70, 0.20, 0.05, 0.95),
    "0004_c1s1": (0.10, 0.15, 0.10, 0.96),
    "0004_c2s1": (0.05, 0.12, 0.01, 0.97),
}
WORKED_QUERIES = ("0001_c1s1", "0002_c2s1", "0003_c2s1", "0005_c1s1")

GALLERY = [
    "%04d/%04d_c%ds1_000001_00.png" % (person, person, camera) for person in (1, 2, 3) for camera in (1, 2)
] + ["-1/-1_c1s1_000001_00.png", "0000/0000_c3s1_000001_00.png"]
QUERY = [
    "%04d/%04d_c%ds1_000002_00.png" % (person, person, camera) for person, camera in ((1, 1), (2, 2), (3, 1))
]


class MeanColours(nn.Module):
    """Images (n, 3, h, w) -> the means of 4 x 2 cells, (n, 24), of which each number is mixed by fixed
    weights; with a layer that answers otherwise in training mode."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(24, 12, bias=False)
        values = np.random.RandomState(5).standard_normal((12, 24)).astype(np.float32)
        self.mix.weight.data = torch.from_numpy(values)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images):
        cells = nn.functional.adaptive_avg_pool2d(images, (4, 2))
        return self.dropout(self.mix(cells.flatten(1)))


def pictures_of(names, read=None):
    """What an evaluation needs of one split, from names `<person>_c<camera>...` without folders."""
    parts = [name.rpartition("/")[2].split("_c") for name in names]
    return types.SimpleNamespace(
        names=list(names),
        labels=np.array([int(person) for person, _ in parts]),
        cameras=np.array([int(rest[0]) for _, rest in parts]),
        read=read,
        spec="set",
    )


def worked_example():
    """(gallery features (12, 5), query features (4, 5), EvaluationPictures): unit rows whose products are the
    worked example's scores, all divided by 4."""
    scores = np.array(list(WORKED.values())) / 4
    rest = np.sqrt(1 - (scores**2).sum(axis=1, keepdims=True))
    gallery = np.concatenate([scores, rest], axis=1).astype(np.float32)
    pictures = EvaluationPictures(pictures_of(list(WORKED)), pictures_of(WORKED_QUERIES), None)
    return gallery, np.eye(5, dtype=np.float32)[:4], pictures


def write_set(folder, gallery=GALLERY, query=QUERY):
    """Write the pictures of GALLERY and QUERY in the published layout -> folder."""
    write(folder, ["gallery/" + name for name in gallery] + ["query/" + name for name in query])
    return folder
