"""Files of pictures below a folder or below a prefix of a tar, read by their relative paths."""

from __future__ import annotations

import os
import posixpath

from encore.data.images import LARGEST_PICTURE
from encore.data.tar_members import is_tar, list_members, read_member
from encore.runtime.bounded_file import read_bounded
from encore.runtime.refusal import Refusal


def open_tree(spec):
    """The tree at `spec`: a folder, or `file.tar#prefix` (uncompressed); raises Refusal when there is none.

    A tree has `spec`, `folders` (names of its immediate sub-folders, sorted, empty ones too), `files()`
    (relative paths of all files in it, in `published_order`), `below(name)` (the tree of a sub-folder), `has
    (name)`, `read(path)` and `size(path)`. Hidden files and folders do not count. It can be pickled.
    """
    path, _, prefix = str(spec).partition("#")
    if os.path.isdir(str(spec)):
        return FolderTree(spec)
    if os.path.isfile(path) and is_tar(path):
        return TarTree.opened(path, prefix)
    raise Refusal("{}: expected a folder of pictures or file.tar#prefix, found neither".format(spec))


def published_order(paths):
    """`paths` by their first folder, then by the whole folder, then by file name: sorted sub-folders, each
    walked in sorted order."""
    return sorted(paths, key=lambda path: (path.partition("/")[0],) + posixpath.split(path))


def _is_shown(path):
    return not any(part.startswith(".") for part in path.split("/"))


class FolderTree:
    """The tree of a folder; links to folders are followed at its first level only."""

    def __init__(self, folder):
        self.spec = str(folder)

    @property
    def folders(self):
        return sorted(
            name for name in os.listdir(self.spec) if _is_shown(name) and os.path.isdir(self._at(name))
        )

    def files(self):
        paths = [name for name in os.listdir(self.spec) if os.path.isfile(self._at(name))]
        for name in self.folders:
            for place, _, files in os.walk(self._at(name)):
                relative = os.path.relpath(place, self.spec)
                paths.extend("{}/{}".format(relative, file) for file in files)
        return published_order(filter(_is_shown, paths))

    def has(self, name):
        return os.path.isdir(self._at(name))

    def below(self, name):
        return FolderTree(self._at(name))

    def read(self, path):
        try:
            return read_bounded(self._at(path), LARGEST_PICTURE)
        except OSError as error:
            raise _gone(self._at(path), error) from None

    def size(self, path):
        try:
            return os.path.getsize(self._at(path))
        except OSError as error:
            raise _gone(self._at(path), error) from None

    def _at(self, path):
        return os.path.join(self.spec, path)


def _gone(path, error):
    return Refusal(
        "{}: cannot be read ({}): put the picture back, it was there at the start".format(
            path, error.strerror
        )
    )


class TarTree:
    """The tree of what lies below `prefix` in a tar."""

    def __init__(self, path, prefix, places, folders):
        self.path, self.prefix = path, prefix
        self.spec = "{}#{}".format(path, prefix)
        self._places, self._folders = places, folders

    @classmethod
    def opened(cls, path, prefix):
        """Read the headers of the tar `path`; raises Refusal for a compressed or damaged one."""
        files, found = list_members(str(path))
        places = {posixpath.normpath(member.name): member for member in files}
        folders = {posixpath.normpath(name) for name in found}
        return cls(str(path), "", places, folders).below(posixpath.normpath(prefix.strip("/")))

    @property
    def folders(self):
        names = {path.partition("/")[0] for path in self._places if "/" in path}
        names.update(path.partition("/")[0] for path in self._folders)
        return sorted(filter(_is_shown, names))

    def files(self):
        return published_order(filter(_is_shown, self._places))

    def has(self, name):
        return name in self.folders

    def below(self, name):
        if name == ".":  # no prefix
            return self
        start = name + "/"
        places = {path[len(start) :]: at for path, at in self._places.items() if path.startswith(start)}
        folders = {path[len(start) :] for path in self._folders if path.startswith(start)}
        return TarTree(self.path, posixpath.join(self.prefix, name), places, folders)

    def read(self, path):
        return read_member(self.path, self._places[path]._replace(name=path))

    def size(self, path):
        return self._places[path].size
