"""Cut the embedded photographs of the mini size: `python mini/build_photos.py`.

Takes the photographs that scikit-image and scikit-learn ship, uses only those whose licence is stated, cuts
them into square tiles on a fixed grid, leaves out tiles with hardly any structure, and writes
`mini/photos.tar` (PNG files) and `mini/photos.yaml` (the table of sources, licences and splits).
The tar is kept in the repository, so that every environment starts from identical pixels: running this again
with another version of a decoder may change a few pixels of the JPEG sources.
"""

import io
import os
import sys
import tarfile

import numpy
import skimage
import sklearn.datasets
import yaml
from PIL import Image

TILE = 96
LEAST_DEVIATION = 8.0
DOCUMENTATION = "https://scikit-image.org/docs/stable/api/skimage.data.html"
CC0 = "CC0 1.0"
CC_BY = "CC BY 2.0"
PUBLIC = "public domain"
FREE = "no known copyright restrictions"
PREFIX = {"training": "T", "references": "R", "distractors": "D", "foreign": "F"}

# file, title, credit, licence, split, side of a tile in the photograph, tiles
PHOTOGRAPHS = (
    ("astronaut.png", "Eileen Collins", "NASA", PUBLIC, "training", 73, 47),
    ("coffee.png", "cup of coffee", "Rachel Michetti", CC0, "training", 75, 40),
    ("flower.jpg", "dahlia", "vultilion (flickr)", CC_BY, "training", 80, 30),
    ("rocket.jpg", "launch of Falcon 9", "SpaceX", PUBLIC, "training", 80, 26),
    (
        "ihc.png",
        "stained tissue of the colon",
        "Center for Microscopy and Mol. Imaging",
        FREE,
        "training",
        102,
        25,
    ),
    ("gravel.png", "gravel", "CC0Textures", CC0, "training", 128, 16),
    ("cell.png", "cell floating in saline", "Paul Müller and others", CC0, "training", 80, 8),
    ("china.jpg", "temple roof in China", "danielbuechele (flickr)", CC_BY, "references", 126, 12),
    ("camera.png", "cameraman", "Lav Varshney", CC0, "references", 128, 12),
    ("chelsea.png", "Chelsea the cat", "Stéfan van der Walt", CC0, "references", 112, 8),
    ("brick.png", "brick wall", "CC0Textures", CC0, "distractors", 128, 12),
    ("retina.jpg", "fundus of a left eye", "Mikael Häggström", CC0, "distractors", 235, 12),
    ("hubble_deep_field.jpg", "Hubble eXtreme Deep Field", "NASA", PUBLIC, "foreign", 200, 12),
    ("coins.png", "Greek coins from Pompeii", "Brooklyn Museum", FREE, "foreign", 96, 12),
    ("grass.png", "grass", "linolafett (DeviantArt)", CC0, "foreign", 170, 4),
    ("clock_motion.png", "wall clock in motion", "Stéfan van der Walt", PUBLIC, "foreign", 96, 3),
)


def photograph(name):
    """(picture in its own mode, package that ships it)"""
    folder = os.path.join(os.path.dirname(skimage.__file__), "data")
    if os.path.isfile(os.path.join(folder, name)):
        return Image.open(os.path.join(folder, name)), "scikit-image"
    folder = os.path.join(os.path.dirname(sklearn.datasets.__file__), "images")
    return Image.open(os.path.join(folder, name)), "scikit-learn"


def tiles(picture, side):
    """Tiles of the fixed grid, row by row, at TILE pixels, but for those that show hardly anything."""
    for top in range(0, picture.height - side + 1, side):
        for left in range(0, picture.width - side + 1, side):
            tile = picture.crop((left, top, left + side, top + side)).resize((TILE, TILE), Image.LANCZOS)
            if numpy.asarray(tile.convert("L"), dtype=numpy.float64).std() >= LEAST_DEVIATION:
                yield tile


def evenly(found, count):
    """`count` of the tiles, spread evenly over the photograph."""
    if len(found) < count:
        raise SystemExit("only {} of {} tiles show enough".format(len(found), count))
    return [found[i * len(found) // count] for i in range(count)]


def encode(tile):
    file = io.BytesIO()
    tile.save(file, "PNG", optimize=True)
    return file.getvalue()


def add(tar, name, data):
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o644
    tar.addfile(member, io.BytesIO(data))


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    table, numbers = [], {}
    with tarfile.open(os.path.join(folder, "photos.tar"), "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, title, credit, licence, split, side, count in PHOTOGRAPHS:
            picture, package = photograph(name)
            for tile in evenly(list(tiles(picture, side)), count):
                number = numbers[split] = numbers.get(split, -1) + 1
                add(tar, "{}/{}{:06d}.png".format(split, PREFIX[split], number), encode(tile))
            table.append(
                {
                    "file": name,
                    "title": title,
                    "credit": credit,
                    "licence": licence,
                    "source": "shipped with " + package,
                    "mode": picture.mode,
                    "split": split,
                    "tiles": count,
                }
            )
    with open(os.path.join(folder, "photos.yaml"), "w", encoding="utf-8") as file:
        file.write(
            "# Written by build_photos.py: the photographs of the mini size. Licences as stated by the\n"
            "# packages: {}\n# and the README beside scikit-learn's sample images.\n".format(DOCUMENTATION)
        )
        yaml.safe_dump(table, file, allow_unicode=True, sort_keys=False)
    print({split: number + 1 for split, number in numbers.items()})


if __name__ == "__main__":
    sys.exit(main())
