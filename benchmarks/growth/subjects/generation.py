"""Pictures encoded and written as shards with their manifest; tiny ones, so that the machinery shows.

What a picture of the published size takes to be augmented does not depend on how many there are: `make
bench` measures it (generation_chain).
"""

from __future__ import annotations

import os

from benchmarks.growth.subjects import half_decades

OF = "pictures"
SIZES, SHORT = half_decades(3, 6), (200, 600, 2000)
OUTPUT, COPIES, CLASSES_PER_SHARD = True, 20, 250
PER_OBJECT = COPIES * CLASSES_PER_SHARD


def ready(folder, n):
    from PIL import Image

    from encore.data.shard_writing import write_data_set
    from encore.systems.isc.generation import jpeg

    classes = -(-n // COPIES)
    units = [
        range(first, min(first + CLASSES_PER_SHARD, classes))
        for first in range(0, classes, CLASSES_PER_SHARD)
    ]

    def make_worker():
        return pictures

    def pictures(unit):
        for number in unit:
            picture = Image.new("RGB", (16, 16), (number % 256, number // 256 % 256, 0))
            for copy in range(COPIES):
                yield "{}_{}.jpg".format(number, copy), jpeg(picture, 90), number

    def work():
        write_data_set(os.path.join(folder, "output"), units, make_worker, 1, "0" * 64, 0, "growth")

    return work
