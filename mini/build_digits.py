"""Pack the embedded digits of the mini size: `python mini/build_digits.py`.

Takes the 1,797 handwritten digits of 8 x 8 grey pixels that scikit-learn ships and writes `mini/digits.tar`
(PNG files, one folder a class: `train/<digit>/<number>.png` and `test/<digit>/<number>.png`, numbered in
scikit-learn's order) and `mini/digits.yaml` (source, licence, split). Of each class every fourth picture is
for testing. The tar is kept in the repository, so that every environment starts from identical pixels.
"""

import io
import os
import sys
import tarfile

import numpy
import sklearn.datasets
import yaml
from PIL import Image

DOCUMENTATION = "https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits"
CLASSES = 10
BRIGHTEST = 16
"""Largest value in scikit-learn's table: pixels set in a block of 4 x 4."""
EVERY = 4
"""Of so many pictures of a class, the last one is for testing."""


def digits():
    """[(split, class, number, uint8 pixels (8, 8))] in the order of the tar: split, class, number."""
    table = sklearn.datasets.load_digits()
    found = {"train": [], "test": []}
    for digit in range(CLASSES):
        numbers = numpy.flatnonzero(table.target == digit)
        for place, number in enumerate(numbers):
            split = "test" if place % EVERY == EVERY - 1 else "train"
            pixels = numpy.rint(table.images[number] * (255 / BRIGHTEST)).astype(numpy.uint8)
            found[split].append((split, digit, int(number), pixels))
    return found["train"] + found["test"]


def add(tar, name, pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(file.getvalue()), 0o644
    tar.addfile(member, io.BytesIO(file.getvalue()))


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    found = digits()
    with tarfile.open(os.path.join(folder, "digits.tar"), "w", format=tarfile.USTAR_FORMAT) as tar:
        for split, digit, number, pixels in found:
            add(tar, "{}/{}/{:04d}.png".format(split, digit, number), pixels)
    counts = {
        split: [sum(row[:2] == (split, digit) for row in found) for digit in range(CLASSES)]
        for split in ("train", "test")
    }
    table = {
        "title": "Optical Recognition of Handwritten Digits, test part",
        "credit": "E. Alpaydin, C. Kaynak (1998), UCI Machine Learning Repository, doi 10.24432/C50P49",
        "licence": "CC BY 4.0",
        "source": "sklearn.datasets.load_digits, shipped with scikit-learn",
        "changed": "values 0 to 16 spread over 0 to 255, each picture a PNG file",
        "pictures": counts,
    }
    with open(os.path.join(folder, "digits.yaml"), "w", encoding="utf-8") as file:
        file.write(
            "# Written by build_digits.py: the digits of the mini size, and the pictures of each class, 0\n"
            "# to 9. Licence as stated by those who publish them:\n# {}\n".format(DOCUMENTATION)
        )
        yaml.safe_dump(table, file, allow_unicode=True, sort_keys=False, default_flow_style=None, width=110)
    print({split: sum(numbers) for split, numbers in counts.items()})


if __name__ == "__main__":
    sys.exit(main())
