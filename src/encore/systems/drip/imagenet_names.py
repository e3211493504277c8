"""ImageNet's pictures under the names I0000000.jpg, I0000001.jpg, ... (spec drip 1.2)."""

from __future__ import annotations

import glob
import os
import re

from encore.runtime.refusal import Refusal
from encore.systems.drip.samples import ID_SPACES

SPLITS = ("train", "val", "test")
"""Folders below the root, in the order of their numbers (published: 1,281,167, 50,000 and 100,000)."""
FILE_NAME = re.compile(r"(?:.*_)?([^_]*)_([0-9]+)\.JPEG")
SPACE = ID_SPACES["I"]


def naming_plan(root, first=0):
    """[(path of the source below `root`, new id)] of all `**/*.JPEG` of the splits, from number `first` on.

    A name ends in `<a>_<number>.JPEG`. Order in a split: `a` without its first character as text (the digits
    of a WordNet id; the same for all pictures of val and of test), the number, the path. Refusal, naming it,
    for a missing split, a name without such an end, and more pictures than there are ids.
    """
    return numbered(root, {split: _found(str(root), split) for split in SPLITS}, first)


def numbered(root, paths, first=0):
    """[(path, new id)] of the pictures of the splits in their order, from number `first` on.

    paths: {split: its paths below `root`}. Refusal as naming_plan, `root` being the name in it.
    """
    ordered = [
        path for split in SPLITS for path in sorted(paths[split], key=lambda path: _order(str(root), path))
    ]
    if first + len(ordered) > 10**SPACE.digits:
        raise Refusal(
            "{}: {} pictures from number {} on, expected fewer than {}: give an emptier folder".format(
                root, len(ordered), first, 10**SPACE.digits
            )
        )
    return [(path, SPACE.sample_id(first + i)) for i, path in enumerate(ordered)]


def _found(root, split):
    if not os.path.isdir(os.path.join(root, split)):
        raise Refusal(
            "{}: no folder {}: expected {} there (an empty one will do)".format(
                root, split, ", ".join(SPLITS)
            )
        )
    found = glob.glob(os.path.join(glob.escape(root), split, "**", "*.JPEG"), recursive=True)
    return [os.path.relpath(path, root) for path in found]


def _order(root, path):
    fields = FILE_NAME.fullmatch(os.path.basename(path))
    if fields is None:
        raise Refusal(
            "{}: expected a name like n01440764_10026.JPEG: move other files away".format(
                os.path.join(root, path)
            )
        )
    return fields.group(1)[1:], int(fields.group(2)), path
