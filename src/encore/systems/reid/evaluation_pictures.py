"""Gallery and query pictures of an evaluation, in the published layout and in that of the archives."""

from __future__ import annotations

from typing import NamedTuple, Optional

import numpy as np

from encore.data.person_names import parse
from encore.data.picture_tree import open_tree
from encore.runtime.refusal import Refusal
from encore.systems.reid.training_pictures import EXTENSIONS

GALLERY, QUERY = "gallery", "query"
ARCHIVE_GALLERY = "bounding_box_test"
MULTI_QUERY = ("multi-query", "gt_bbox")
"""Folders of further pictures of the queries' identities, of the published layout and of an archive."""


class Pictures:
    """One split: `names` (paths within `spec`), `labels` and `cameras` int64 (n,), `read(i)`, `len`.

    Labels and cameras are those of the file names: -1 is junk, 0 a distractor. Can be pickled.
    """

    def __init__(self, tree, names, naming):
        self.spec, self.names, self._tree = tree.spec, names, tree
        try:
            parsed = [parse(name, naming) for name in names]
        except Refusal as refusal:
            raise Refusal("{}: {}".format(tree.spec, refusal)) from None
        self.labels = np.array([name.label for name in parsed], np.int64)
        self.cameras = np.array([name.camera for name in parsed], np.int64)

    def __len__(self):
        return len(self.names)

    def read(self, i):
        """The bytes of picture number `i`; raises Refusal when it is gone or empty."""
        data = self._tree.read(self.names[i])
        if not data:
            raise Refusal(
                "{}: {}: the picture is empty (0 bytes): put it back or take it out".format(
                    self.spec, self.names[i]
                )
            )
        return data


class EvaluationPictures(NamedTuple):
    """What an evaluation compares."""

    gallery: Pictures
    query: Pictures
    multi_query: Optional[Pictures]


def open_evaluation_pictures(root, naming="market"):
    """The splits below `root`, a folder or `file.tar#prefix`.

    Published layout: gallery/<identity>/*, query/<identity>/*, every file in them whatever its ending, loose
    files beside folders ignored; optional multi-query/<identity>/*. A split without folders is flat
    (MSMT17). Archive: bounding_box_test, query and the optional gt_bbox, flat, files with a picture's ending
    only (Market-1501 has a Thumbs.db there). Hidden files do not count. Order: sub-folders, then names, in
    string order. Raises Refusal for a split that is missing or empty, and for a name that does not parse.
    """
    if not str(root):
        raise Refusal("evaluation_root: expected the place of gallery and query, found nothing: name it")
    tree = open_tree(root)
    published, archive = tree.has(GALLERY), tree.has(ARCHIVE_GALLERY)
    if published == archive:
        raise Refusal(
            "{}: expected one of the folders {} and {}, found {}".format(
                root, GALLERY, ARCHIVE_GALLERY, "both: move one away" if published else "neither"
            )
        )
    if not tree.has(QUERY):
        raise Refusal("{}: expected the folder {} beside the gallery, found none".format(root, QUERY))
    further = MULTI_QUERY[0 if published else 1]
    return EvaluationPictures(
        _split(tree.below(GALLERY if published else ARCHIVE_GALLERY), naming, published),
        _split(tree.below(QUERY), naming, published),
        _split(tree.below(further), naming, published) if tree.has(further) else None,
    )


def _split(tree, naming, published):
    names = tree.files()
    if not published:
        names = [name for name in names if name.lower().endswith(EXTENSIONS)]
    elif tree.folders:
        names = [name for name in names if "/" in name]
    if not names:
        raise Refusal("{}: expected pictures, found none: the split is empty".format(tree.spec))
    return Pictures(tree, names, naming)
