"""The labelled pictures of a training set, in each layout that they come in."""

from __future__ import annotations

import json
import os
import tarfile

import numpy as np

from encore.data.person_names import identity_text
from encore.data.picture_database import PictureDatabase, picture_digest
from encore.data.picture_tree import open_tree
from encore.runtime.refusal import Refusal

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif")
"""What counts as a picture below class folders, in any case of letters (published)."""
MAPPING = "class_mapping.json"
ARCHIVE = "bounding_box_train"
"""Folder of the training pictures in an archive of Market-1501, DukeMTMC-reID or CUHK03."""


class TrainingPictures:
    """Pictures with classes: `names`, `labels` int64 (n,), `classes` (their names, sorted), `read(i)`, `len`.

    source: offers read(name) and size(name). `classes` may hold names without pictures; they count as
    published. Can be pickled for loader processes.
    """

    def __init__(self, spec, names, labels, classes, source):
        self.spec, self.names, self.classes = str(spec), names, tuple(classes)
        self.labels = np.array(labels, np.int64)
        self._source, self._digest = source, None

    def __len__(self):
        return len(self.names)

    def read(self, i):
        """The bytes of picture number `i`; raises Refusal when the file is gone."""
        return self._source.read(self.names[i])

    def size(self, i):
        """Its number of bytes."""
        return self._source.size(self.names[i])

    @property
    def digest(self):
        """SHA-256 over classes, names, labels and sizes, the same in every layout that gives the same of
        them; made when first asked for."""
        if self._digest is None:
            sizes = map(self.size, range(len(self)))
            self._digest = picture_digest(self.names, self.labels, sizes, self.classes)
        return self._digest


def open_training_pictures(spec, naming="market"):
    """The training set at `spec`: TrainingPictures, or a PictureDatabase, which offers the same.

    A folder with class_mapping.json ({class: [path, ...]}, paths as they are, in the file's order); a folder
    with a sub-folder a class (those without a picture count, published); a flat folder of an archive, whose
    classes are the identities of its names by `naming`; an LMDB file; `file.tar#prefix` with class folders or
    flat. Classes are numbered in the order of their names. Raises Refusal when there is no picture.
    """
    path = str(spec)
    if not path:
        raise Refusal("batches_dir: expected the place of the training pictures, found nothing: name it")
    if os.path.isfile(os.path.join(path, MAPPING)):
        return _mapped(path)
    if os.path.isfile(path) and not tarfile.is_tarfile(path):
        return PictureDatabase(path)
    tree = open_tree(path)
    folders = tree.folders
    if ARCHIVE in folders:
        raise Refusal(
            "{}: expected the training pictures, found a whole archive: name its {}".format(path, ARCHIVE)
        )
    pictures = _class_folders(tree, folders) if folders else _flat(tree, naming)
    if not len(pictures):
        raise Refusal(
            "{}: expected {}, one folder a class with pictures in it, or pictures named by identity, found "
            "none: see `encore data` for what belongs there".format(path, MAPPING)
        )
    return pictures


def _pictures_of(tree):
    return [path for path in tree.files() if path.lower().endswith(EXTENSIONS)]


def _class_folders(tree, folders):
    names = [path for path in _pictures_of(tree) if "/" in path]
    numbers = {name: number for number, name in enumerate(folders)}
    labels = [numbers[path.partition("/")[0]] for path in names]
    return TrainingPictures(tree.spec, names, labels, folders, tree)


def _flat(tree, naming):
    names = _pictures_of(tree)
    identities = [identity_text(name, naming) for name in names]
    if "-1" in identities:
        raise Refusal(
            "{}: {} is junk (-1), not a person to train on: take such pictures out, or name the training "
            "folder".format(tree.spec, names[identities.index("-1")])
        )
    classes = sorted(set(identities))
    numbers = {identity: number for number, identity in enumerate(classes)}
    return TrainingPictures(tree.spec, names, [numbers[each] for each in identities], classes, tree)


class _Files:
    """Files by paths as they are."""

    def read(self, path):
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            raise _unreadable(path, error) from None

    def size(self, path):
        try:
            return os.path.getsize(path)
        except OSError as error:
            raise _unreadable(path, error) from None


def _unreadable(path, error):
    return Refusal(
        "{}: cannot be read ({}): {} names it, put the picture there".format(path, error.strerror, MAPPING)
    )


def _mapped(folder):
    path = os.path.join(folder, MAPPING)
    try:
        with open(path, encoding="utf-8") as file:
            mapping = json.load(file, object_pairs_hook=_without_repeats)
    except ValueError as error:
        raise Refusal("{}: cannot be read as JSON ({}): mend it".format(path, error)) from None
    if not isinstance(mapping, dict):
        raise Refusal("{}: expected an object {{class: [path, ...]}}, found another value".format(path))
    classes = sorted(mapping)
    numbers = {name: number for number, name in enumerate(classes)}
    names, labels = [], []
    for name, paths in mapping.items():
        if not isinstance(paths, list) or not all(isinstance(each, str) for each in paths):
            raise Refusal("{}: class {}: expected a list of paths, found another value".format(path, name))
        names.extend(paths)
        labels.extend([numbers[name]] * len(paths))
    if not names:
        raise Refusal("{}: expected pictures, found none: name them there".format(path))
    return TrainingPictures(folder, names, labels, classes, _Files())


def _without_repeats(pairs):
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError("{!r} is there twice".format(next(name for name in names if names.count(name) > 1)))
    return mapping
