"""Make the pictures that drip training needs beside the photographs: `python mini/build_drip.py`.

Writes `mini/drip.tar` and `mini/drip.yaml` (the sources and their licences): `imagenet`, the tiles
`photos.tar#foreign` as JPEG files in a tree of ImageNet's kind (train, val and test, names whose published
order is not that of a listing), and `screens`, screenshots drawn here with the places for pictures in them
(`bboxes.json`). The tar is kept in the repository, so that every environment starts from identical pixels.
"""

import io
import json
import os
import sys
import tarfile

import yaml
from PIL import Image, ImageDraw

QUALITY = 90
FOLDER = os.path.dirname(os.path.abspath(__file__))

SPLITS = (
    ("train/n08271042/n08271042_{}.JPEG", (2, 9, 10, 31, 100, 101, 204, 1003)),  # Hubble
    ("val/ILSVRC2012_val_{:08d}.JPEG", (1, 5, 9, 10)),
    ("train/n13388245/n13388245_{}.JPEG", (1, 7, 20, 66, 113, 1000, 2000, 10026)),  # coins
    ("test/ILSVRC2012_test_{:08d}.JPEG", (1, 2, 11, 99)),
    ("train/n12102133/n12102133_{}.JPEG", (3, 11, 12, 300)),  # grass
    ("train/n04548280/n04548280_{}.JPEG", (8, 40, 41)),  # clock
)
"""(name, numbers) of the tiles in their own order."""

GREY, PALE, DARK = (214, 216, 220), (240, 241, 243), (70, 74, 82)
BLUE, RED, WHITE = (58, 104, 184), (200, 30, 30), (255, 255, 255)


def screen(size, background, bars, discs, place):
    """A screenshot: `bars` (left, upper, right, lower, colour) in place of text and buttons, `discs` (the
    same) in place of portraits, a dark rectangle at `place` where the picture goes."""
    picture = Image.new("RGB", size, background)
    draw = ImageDraw.Draw(picture)
    for left, upper, right, lower, colour in bars:
        draw.rectangle((left, upper, right - 1, lower - 1), fill=colour)
    for left, upper, right, lower, colour in discs:
        draw.ellipse((left, upper, right - 1, lower - 1), fill=colour)
    left, upper, right, lower = place
    draw.rectangle((left, upper, right - 1, lower - 1), fill=DARK)
    return picture


def lines(left, upper, widths, colour=GREY, height=6, step=10):
    """Bars of `widths`, one below the other, as lines of text."""
    return [
        (left, upper + step * number, left + width, upper + step * number + height, colour)
        for number, width in enumerate(widths)
    ]


SCREENS = {
    "mobile.png": (
        (180, 320),
        WHITE,
        [(0, 0, 180, 24, BLUE), (0, 296, 180, 320, PALE)]
        + lines(40, 34, (90, 60))
        + lines(8, 252, (150, 164, 80)),
        [(8, 30, 34, 56, GREY)] + [(20 + 50 * i, 302, 32 + 50 * i, 314, DARK) for i in range(3)],
        (0, 64, 180, 244),
    ),
    "web.png": (
        (360, 240),
        PALE,
        [(0, 0, 360, 20, BLUE), (70, 28, 290, 240, WHITE)]
        + lines(8, 34, (50, 44, 52, 38, 47))
        + lines(298, 34, (54, 40, 50))
        + lines(104, 36, (120, 70))
        + lines(80, 212, (190, 110)),
        [(78, 34, 98, 54, GREY), (330, 4, 342, 16, WHITE)],
        (80, 62, 280, 204),
    ),
    "tablet.png": (
        (300, 226),
        DARK,
        [(0, 0, 300, 16, WHITE), (206, 16, 300, 226, WHITE)] + lines(214, 60, (76, 60, 80, 50, 72, 30)),
        [(214, 26, 240, 52, BLUE)],
        (10, 40, 196, 200),
    ),
    "gallery.png": (
        (264, 264),
        WHITE,
        [(88 * i, 176, 88 * i + 84, 264, GREY) for i in range(3)]
        + [(180, 0, 264, 84, GREY), (180, 88, 264, 172, PALE)],
        [],
        (0, 0, 176, 172),
    ),
    "chat.png": (
        (170, 300),
        (230, 240, 228),
        [(0, 0, 170, 26, (28, 120, 92)), (30, 60, 164, 206, WHITE), (8, 222, 120, 250, WHITE)]
        + lines(36, 194, (60,))
        + lines(14, 230, (90,)),
        [(6, 4, 24, 22, GREY)],
        (36, 66, 158, 188),
    ),
    "player.png": (
        (320, 200),
        (24, 24, 26),
        [(20, 180, 300, 184, GREY), (20, 180, 130, 184, RED)] + lines(20, 8, (140,), WHITE),
        [(124, 176, 136, 188, RED)],
        (40, 22, 280, 172),
    ),
}
"""Name -> what `screen` draws; the order is that of the draws."""


def encode(picture, form, **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def add(tar, name, data):
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o644
    tar.addfile(member, io.BytesIO(data))


def tiles():
    """The tiles `photos.tar#foreign` in their own mode: RGB, and L as in ImageNet."""
    with tarfile.open(os.path.join(FOLDER, "photos.tar")) as tar:
        for name in sorted(name for name in tar.getnames() if name.startswith("foreign/")):
            yield Image.open(io.BytesIO(tar.extractfile(name).read()))


def main():
    names = [form.format(number) for form, numbers in SPLITS for number in numbers]
    pictures = list(tiles())
    if len(names) != len(pictures):
        raise SystemExit("{} names for {} tiles".format(len(names), len(pictures)))
    with tarfile.open(os.path.join(FOLDER, "drip.tar"), "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, picture in sorted(zip(names, pictures), key=lambda pair: pair[0]):
            add(tar, "imagenet/" + name, encode(picture, "JPEG", quality=QUALITY))
        for name, (size, background, bars, discs, place) in SCREENS.items():
            add(
                tar,
                "screens/" + name,
                encode(screen(size, background, bars, discs, place), "PNG", optimize=True),
            )
        places = {name: list(values[-1]) for name, values in SCREENS.items()}
        add(tar, "screens/bboxes.json", json.dumps(places, indent=1).encode("ascii"))
    with open(os.path.join(FOLDER, "drip.yaml"), "w", encoding="utf-8") as file:
        file.write(
            "# Written by build_drip.py: pictures of drip training at the mini size beside the photographs.\n"
        )
        yaml.safe_dump(table(), file, allow_unicode=True, sort_keys=False, width=110)
    print("{} pictures, {} screens".format(len(pictures), len(SCREENS)))


def table():
    """What drip.yaml says."""
    with open(os.path.join(FOLDER, "photos.yaml"), encoding="utf-8") as file:
        photographs = [row for row in yaml.safe_load(file) if row["split"] == "foreign"]
    return {
        "imagenet": {
            "title": "tiles of photos.tar#foreign under names of ImageNet's kind (no picture of ImageNet)",
            "sources": [
                {key: row[key] for key in ("file", "title", "credit", "licence", "source", "tiles")}
                for row in photographs
            ],
        },
        "screens": {
            "title": "screenshots of no real program, drawn by build_drip.py",
            "credit": "the authors of Encore",
            "licence": "MIT, as the repository",
            "screens": len(SCREENS),
        },
    }


if __name__ == "__main__":
    sys.exit(main())
