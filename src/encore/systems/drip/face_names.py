"""Frames of the deep-fake videos under the names F000000.jpg, F000001.jpg, ... (spec drip 1.3)."""

from __future__ import annotations

import glob
import os

from encore.runtime.refusal import Refusal
from encore.systems.drip.samples import ID_SPACES

SPACE = ID_SPACES["F"]


def naming_plan(root, first=0):
    """[(path of the source below `root`, new id)] of all `**/*.jpg`, by path, from number `first` on.

    Published: frames are numbered as they are cut out of the videos, which come in the order of the file
    system; by a program that cannot run. No published model used them. Refusal for more pictures than there
    are ids.
    """
    found = glob.glob(os.path.join(glob.escape(str(root)), "**", "*.jpg"), recursive=True)
    paths = sorted(os.path.relpath(path, str(root)) for path in found)
    if first + len(paths) > 10**SPACE.digits:
        raise Refusal(
            "{}: {} pictures from number {} on, expected fewer than {}: give an emptier folder".format(
                root, len(paths), first, 10**SPACE.digits
            )
        )
    return [(path, SPACE.sample_id(first + i)) for i, path in enumerate(paths)]
