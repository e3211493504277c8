"""Make the pictures of person re-identification at the mini size: `python mini/build_reid.py`.

Writes `mini/reid.tar` and `mini/reid.yaml` (its table and sources): a data set in Market-1501's layout and
names, in which a tile of `photos.tar` stands for a person. Each of the six cameras is a fixed change of
geometry and colours; each picture is another window of the tile. Junk (-1: a window off the person),
distractors (0000: tiles of no identity), pictures of a query's own camera, and identities that no other
camera has seen are in it, so that every rule of the evaluation decides something. Pictures of one photograph
are all in training or all in the test. The tar is kept in the repository, so that every environment starts
from identical pixels.
"""

import io
import os
import sys
import tarfile
from collections import Counter
from typing import NamedTuple

import numpy
import yaml
from PIL import Image, ImageFilter

FOLDER = os.path.dirname(os.path.abspath(__file__))
SIZE = (32, 64)
"""Width and height of a picture; JPEG without subsampling, which all libraries decode alike."""
QUALITY = 80
CAMERAS = 6
TRAINED, TESTED = 120, 40
"""Identities."""
UNSEEN = (7, 23)
"""Tested identities that no camera but the query's has seen: no right answer exists."""
SEED = 1501


class Camera(NamedTuple):
    """What one camera does to every picture."""

    gains: tuple
    """Factor on red, green and blue."""
    gamma: float
    contrast: float
    blur: float
    """Radius in pixels of the tile."""
    zoom: float
    """Side of the window over that of camera 1."""
    angle: float
    """Degrees."""
    shear: float
    mirrored: bool
    """From the other side."""


CAMERA = (
    Camera((1.0, 1.0, 1.0), 1.0, 1.0, 0.0, 1.0, 0, 0.0, False),
    Camera((1.15, 0.95, 0.8), 0.8, 0.8, 0.6, 1.2, 10, 0.1, False),
    Camera((0.8, 0.95, 1.2), 1.3, 1.1, 0.3, 0.8, -14, 0.0, True),
    Camera((0.9, 1.15, 0.9), 1.0, 0.6, 1.0, 1.15, 5, -0.2, False),
    Camera((0.7, 0.7, 0.75), 1.1, 0.9, 0.5, 0.9, -8, 0.2, True),
    Camera((1.2, 1.15, 1.0), 0.7, 0.7, 0.8, 0.7, 16, -0.1, False),
)


def tiles(split):
    """The tiles `photos.tar#split` as RGB pictures."""
    with tarfile.open(os.path.join(FOLDER, "photos.tar")) as tar:
        names = sorted(name for name in tar.getnames() if name.startswith(split + "/"))
        return [Image.open(io.BytesIO(tar.extractfile(name).read())).convert("RGB") for name in names]


def by_structure(people):
    """The numbers of the tiles, those with the most structure first: a person is no plain patch of sky."""
    return sorted(range(len(people)), key=lambda number: -numpy.asarray(people[number].convert("L")).std())


def picture(tile, camera, draws, off=0):
    """One picture of a tile by camera number `camera` (from 1). off: how far the window misses, in pixels."""
    look = CAMERA[camera - 1]
    height = 78 * look.zoom * draws.uniform(0.9, 1.1)
    width = height / 2 * draws.uniform(0.94, 1.06)
    x, y = tile.width / 2 + draws.uniform(-7, 7) + off, tile.height / 2 + draws.uniform(-7, 7) + off / 2
    if look.mirrored:
        tile = tile.transpose(Image.FLIP_LEFT_RIGHT)
    seen = tile.filter(ImageFilter.GaussianBlur(look.blur)).rotate(look.angle, Image.BICUBIC, center=(x, y))
    a, e = width / SIZE[0], height / SIZE[1]
    shear = look.shear * width / SIZE[1]
    matrix = (a, shear, x - width / 2 - shear * SIZE[1] / 2, 0, e, y - height / 2)
    seen = numpy.asarray(seen.transform(SIZE, Image.AFFINE, matrix, Image.BICUBIC), numpy.float64) / 255
    light = 0.5 + look.contrast * (seen**look.gamma * numpy.array(look.gains) - 0.5)
    light = light * draws.uniform(0.92, 1.08) + draws.normal(0, 0.02, light.shape)
    return Image.fromarray((light.clip(0, 1) * 255).round().astype(numpy.uint8))


class Album:
    """The pictures in their folders, each under a name of Market-1501."""

    def __init__(self):
        self.pictures, self._frames = {}, Counter()

    def add(self, folder, label, camera, image, box=1):
        frame = self._frames[camera] = self._frames[camera] + 1 + len(self.pictures) % 25
        text = "-1" if label < 0 else "{:04d}".format(label)
        name = "{}_c{}s{}_{:06d}_{:02d}.jpg".format(text, camera, 1 + frame % 3, frame, box)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=QUALITY, subsampling=0)
        self.pictures["{}/{}".format(folder, name)] = file.getvalue()


def add_training(album, draws):
    people = tiles("training")
    chosen = sorted(by_structure(people)[:TRAINED])
    for number, tile in enumerate(chosen):
        cameras = draws.permutation(2 * CAMERAS)[: 7 + number % 3] % CAMERAS + 1
        for camera in sorted(cameras):
            album.add("bounding_box_train", 2 + 3 * number, camera, picture(people[tile], camera, draws))


def add_test(album, draws):
    people = tiles("references") + tiles("distractors")
    order = by_structure(people)
    for number, tile in enumerate(people[place] for place in sorted(order[:TESTED])):
        label = 3 + 3 * number
        asked = sorted(draws.permutation(CAMERAS)[: 1 if number in UNSEEN else 2] + 1)
        for camera in asked:
            album.add("query", label, camera, picture(tile, camera, draws))
            for _ in range(2):
                album.add("gt_bbox", label, camera, picture(tile, camera, draws), box=0)
            album.add("bounding_box_test", label, camera, picture(tile, camera, draws))
        for camera in range(1, 0 if number in UNSEEN else CAMERAS + 1):
            album.add("bounding_box_test", label, camera, picture(tile, camera, draws))
        if number % 2:
            camera = 1 + number % CAMERAS
            album.add("bounding_box_test", -1, camera, picture(tile, camera, draws, off=34))
    others = [people[place] for place in sorted(order[TESTED:])]
    for number, tile in enumerate(others * 2 + tiles("foreign")):
        camera = 1 + number % CAMERAS
        album.add("bounding_box_test", 0, camera, picture(tile, camera, draws))


def main():
    album = Album()
    add_training(album, numpy.random.RandomState(SEED))
    add_test(album, numpy.random.RandomState(SEED + 1))
    with tarfile.open(os.path.join(FOLDER, "reid.tar"), "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in sorted(album.pictures.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    counts = Counter(name.split("/")[0] for name in album.pictures)
    with open(os.path.join(FOLDER, "reid.yaml"), "w", encoding="utf-8") as file:
        file.write("# Written by build_reid.py: pictures in Market-1501's layout (none of Market-1501).\n")
        yaml.safe_dump(table(counts), file, allow_unicode=True, sort_keys=False, width=110)
    print(", ".join("{} {}".format(count, name) for name, count in sorted(counts.items())))


def table(counts):
    """What reid.yaml says."""
    with open(os.path.join(FOLDER, "photos.yaml"), encoding="utf-8") as file:
        photographs = yaml.safe_load(file)
    return {
        "title": "tiles of photos.tar in the place of persons, seen by six cameras",
        "identities": {"training": TRAINED, "test": TESTED, "seen_by_one_camera": len(UNSEEN)},
        "cameras": CAMERAS,
        "pictures": dict(sorted(counts.items())),
        "sources": [
            {key: row[key] for key in ("file", "title", "credit", "licence", "source", "split")}
            for row in photographs
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
