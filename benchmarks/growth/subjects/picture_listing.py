"""The listing of a folder of n pictures, as `encore match` makes it; files are empty."""

from __future__ import annotations

import os

from benchmarks.growth.subjects import half_decades

OF = "pictures"
SIZES, SHORT = half_decades(2, 5), (30, 100, 300)
OUTPUT, PER_OBJECT = False, None


def prepare(folder, n):
    for i in range(n):
        if i % 1000 == 0:
            os.makedirs(os.path.join(folder, str(i // 1000)))
        with open(os.path.join(folder, str(i // 1000), "{}.jpg".format(i)), "wb"):
            pass


def ready(folder, n):
    from encore.systems.matching.picture_listing import list_pictures

    def work():
        if len(list_pictures(folder, "growth")) != n:
            raise AssertionError("expected {} pictures".format(n))

    return work
