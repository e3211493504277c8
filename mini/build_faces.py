"""Make the embedded candidates for classes with faces: `python mini/build_faces.py`.

Takes the 100 faces and 100 non-faces of the LFW subset that ships with scikit-image (25 x 25 grey pixels)
and the face of its astronaut, enlarges each to a tile of the mini size, and writes `mini/faces.tar` (PNG
files, faces and non-faces mixed, so that a detector has something to find and to reject) and
`mini/faces.yaml` (the sources, their licences, and which tiles are faces). The tar is kept in the repository,
so that every environment starts from identical pixels.
"""

import io
import os
import random
import sys
import tarfile

import numpy
import skimage.data
import yaml
from PIL import Image

TILE = 96
DOCUMENTATION = "https://scikit-image.org/docs/stable/api/skimage.data.html"
ASTRONAUT = (152, 22, 296, 166)
"""Left, top, right, bottom of the face in the photograph."""
ORDER = 20211
FACES_OF_LFW = 100


def pictures():
    """[(picture of TILE x TILE, whether it shows a face)] in the order of their sources."""
    lfw = numpy.rint(skimage.data.lfw_subset() * 255).astype(numpy.uint8)
    tiles = [Image.fromarray(pixels).resize((TILE, TILE), Image.BICUBIC) for pixels in lfw]
    found = [(tile, number < FACES_OF_LFW) for number, tile in enumerate(tiles)]
    astronaut = Image.fromarray(skimage.data.astronaut()).crop(ASTRONAUT)
    return found + [(astronaut.resize((TILE, TILE), Image.BICUBIC), True)]


def add(tar, name, picture):
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(file.getvalue()), 0o644
    tar.addfile(member, io.BytesIO(file.getvalue()))


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    found = pictures()
    random.Random(ORDER).shuffle(found)
    names = ["F{:06d}.png".format(number) for number in range(len(found))]
    with tarfile.open(os.path.join(folder, "faces.tar"), "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, (picture, _) in zip(names, found):
            add(tar, "faces/" + name, picture)
    table = {
        "sources": [
            {
                "title": "subset of Labeled Faces in the Wild: 100 faces, 100 parts of backgrounds",
                "credit": "Huang, Mattar, Lee, Learned-Miller: Learning to align from scratch (2012)",
                "licence": "none stated; shipped with scikit-image as part of its package (BSD-3-Clause)",
                "source": "skimage.data.lfw_subset, shipped with scikit-image; http://vis-www.cs.umass.edu/lfw/",
                "tiles": 2 * FACES_OF_LFW,
            },
            {
                "title": "Eileen Collins",
                "credit": "NASA",
                "licence": "public domain",
                "source": "skimage.data.astronaut, shipped with scikit-image",
                "tiles": 1,
            },
        ],
        "faces": [name for name, (_, face) in zip(names, found) if face],
    }
    with open(os.path.join(folder, "faces.yaml"), "w", encoding="utf-8") as file:
        file.write(
            "# Written by build_faces.py: candidates for classes with faces at the mini size. What the\n"
            "# package says about its data: {}\n".format(DOCUMENTATION)
        )
        yaml.safe_dump(table, file, allow_unicode=True, sort_keys=False, width=110)
    print("{} tiles, {} faces".format(len(found), len(table["faces"])))


if __name__ == "__main__":
    sys.exit(main())
