"""The digest of a file of n bytes, as `encore verify` and `encore data --content` take it."""

from __future__ import annotations

import os

from benchmarks.growth.subjects import half_decades

OF = "bytes"
SIZES, SHORT = half_decades(6, 9), (10**4, 10**5, 10**6)
OUTPUT, PER_OBJECT = False, None


def prepare(folder, n):
    with open(os.path.join(folder, "file"), "wb") as file:
        file.truncate(n)


def ready(folder, n):
    from encore.runtime.atomic import file_digest

    return lambda: file_digest(os.path.join(folder, "file"))
