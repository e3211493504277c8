"""Labelled pictures: one folder a class, numbered as torchvision's ImageFolder numbers them."""

from __future__ import annotations

import hashlib
import os

import numpy as np

from encore.data.image_source import open_source
from encore.data.images import LARGEST_PICTURE
from encore.data.manifest import NAME
from encore.runtime.bounded_file import read_bounded
from encore.runtime.refusal import Refusal

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""What counts as a picture, in any case of letters: ImageFolder's list."""


class ClassFolders:
    """The pictures of a folder of class folders, of a tar of them (`file.tar#prefix`) or of a data set.

    spec: the place. `classes` holds the names of the class folders in plain string order, so that a class is
    its place there; `labels` the class of each picture, int64 (N,). Pictures are in ImageFolder's order: by
    class, by folder within the class, by file name. Hidden files and folders do not count, nor do files
    without a picture's ending and files beside the class folders. On folders as ImageNet's this is the list
    of `image_source.FolderSource`, for training without labels, which takes every file, nothing deeper, and
    empty classes. Small to pickle: a loader process that starts afresh gets names and numbers, not pictures.

    Raises Refusal when nothing is there, for pictures without class folders, and for a class without a
    picture (as ImageFolder does).
    """

    def __init__(self, spec):
        self.spec = str(spec)
        folder = os.path.isdir(self.spec) and not os.path.isfile(os.path.join(self.spec, NAME))
        self._source = None if folder else open_source(self.spec)
        if folder:
            paths, places = _folder_paths(self.spec), None
        else:
            paths, places = _source_paths(self._source)
        if not paths or not any(paths.values()):
            raise Refusal(
                "%s: expected one folder a class with pictures in it, found none: see `encore data` for what "
                "belongs there" % self.spec
            )
        self.classes = tuple(sorted(paths))
        for name in self.classes:
            if not paths[name]:
                raise Refusal(
                    "%s: the class folder %s holds no picture: remove it, or put its pictures there"
                    % (self.spec, name)
                )
        self.labels = np.repeat(np.arange(len(paths)), [len(paths[name]) for name in self.classes])
        names = [path for name in self.classes for path in paths[name]]
        self._places = None if places is None else np.array([places[name] for name in names], np.int64)
        self._keep_names([os.fsencode(name) for name in names])
        self._digest = None

    def _keep_names(self, names):
        self._text = b"".join(names)
        self._ends = np.cumsum([0] + [len(name) for name in names])

    def __len__(self):
        return len(self.labels)

    @property
    def names(self):
        """`class/file` of every picture, a new list of str."""
        return [self.name(i) for i in range(len(self))]

    def name(self, i):
        """`class/file` of picture number `i`."""
        return os.fsdecode(self._text[self._ends[i] : self._ends[i + 1]])

    def read(self, i):
        """The bytes of picture number `i`; raises Refusal when the file is gone."""
        if self._source is not None:
            return self._source.read(int(self._places[i]))
        path = os.path.join(self.spec, self.name(i))
        try:
            return read_bounded(path, LARGEST_PICTURE)
        except OSError as error:
            raise _gone(path, error) from None

    @property
    def digest(self):
        """SHA-256 over the names and byte sizes of all pictures in order, 64 hex digits.

        Made when first asked for: of a folder from its directory entries, of a tar or data set by reading it.
        """
        if self._digest is None:
            digest = hashlib.sha256()
            for i in range(len(self)):
                digest.update(b"%s\0%d\n" % (self._text[self._ends[i] : self._ends[i + 1]], self._size(i)))
            self._digest = digest.hexdigest()
        return self._digest

    def _size(self, i):
        if self._source is not None:
            return len(self.read(i))
        path = os.path.join(self.spec, self.name(i))
        try:
            return os.path.getsize(path)
        except OSError as error:
            raise _gone(path, error) from None

    def subset(self, rows):
        """The pictures numbered `rows` (ints, in the order wanted), with the same `classes` and their
        numbers."""
        rows = np.asarray(rows, np.int64)
        part = object.__new__(ClassFolders)
        part.__dict__.update(self.__dict__, labels=self.labels[rows], _digest=None)
        part._keep_names([self._text[self._ends[i] : self._ends[i + 1]] for i in rows])
        if self._places is not None:
            part._places = self._places[rows]
        return part

    def first_per_class(self, count):
        """The first `count` pictures of every class (the published choice of a smaller set; there a class
        that holds fewer passes silently). Raises Refusal for a class with fewer."""
        starts = np.searchsorted(self.labels, np.arange(len(self.classes) + 1))
        for number, name in enumerate(self.classes):
            if starts[number + 1] - starts[number] < count:
                raise Refusal(
                    "%s: the class %s holds %d pictures, %d a class were asked for: ask for fewer"
                    % (self.spec, name, starts[number + 1] - starts[number], count)
                )
        return self.subset((starts[:-1, None] + np.arange(count)).ravel())


def _gone(path, error):
    return Refusal(
        "%s: cannot be read (%s): put the picture back, it was there at the start" % (path, error.strerror)
    )


def _counts(path):
    return path.lower().endswith(EXTENSIONS) and not any(part.startswith(".") for part in path.split("/"))


def _folder_paths(folder):
    """Class -> `class/file` of its pictures, in order; a class may hold folders, as for ImageFolder."""
    with os.scandir(folder) as entries:
        classes = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    paths = {}
    for name in classes:
        found = sorted(_walked(os.path.join(folder, name)))
        files = (os.path.join(below, file) for below, _, here in found for file in sorted(here))
        paths[name] = [path for path in (os.path.relpath(file, folder) for file in files) if _counts(path)]
    return paths


def _walked(top):
    """What os.walk gives, links to folders followed, but none into a folder that the walk is in already; of
    named pipes, devices and sockets nothing."""
    around = {top: (os.path.realpath(top),)}
    for below, folders, files in os.walk(top, followlinks=True):
        inside = around.pop(below)
        places = {name: os.path.realpath(os.path.join(below, name)) for name in folders}
        folders[:] = [name for name in folders if places[name] not in inside]
        around.update((os.path.join(below, name), inside + (places[name],)) for name in folders)
        yield below, folders, files


def _source_paths(source):
    """The same of a tar or data set, and name -> its number there."""
    places = {name: i for i, name in enumerate(source.names) if "/" in name and _counts(name)}
    paths = {}
    for name in sorted(places, key=lambda name: (name.rpartition("/")[0], name)):
        paths.setdefault(name.partition("/")[0], []).append(name)
    return paths, places
