"""Where pictures come from: a plain folder, part of a tar, or a finished data set."""

from __future__ import annotations

import contextlib
import os

from encore.data.images import LARGEST_PICTURE
from encore.data.manifest import NAME
from encore.data.shards import ShardSet
from encore.data.tar_members import is_tar, list_members, read_member
from encore.runtime.bounded_file import read_bounded
from encore.runtime.refusal import Refusal


class FolderSource:
    """The files of one folder, by file name in plain string order; hidden files (.DS_Store) do not count.

    Class folders, a folder that holds folders and no file, as ImageNet's `train`, are read as `class/name`:
    classes in string order, then names, the order of torchvision's ImageFolder; what lies deeper does not
    count. Training with labels reads them by `class_folders.ClassFolders`, which gives the same list.

    Links are followed, to files and to class folders, wherever they lead: data sets are put together of them.
    Named pipes, devices and sockets do not count.
    """

    def __init__(self, folder):
        self.spec = str(folder)
        self.names, folders = _entries(self.spec)
        self.class_folders = bool(folders) and not self.names
        if self.class_folders:
            self.names = [
                "{}/{}".format(name, file)
                for name in folders
                for file in _entries(os.path.join(self.spec, name))[0]
            ]

    def __len__(self):
        return len(self.names)

    def read(self, i):
        path = os.path.join(self.spec, self.names[i])
        try:
            return read_bounded(path, LARGEST_PICTURE)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise Refusal("{}: cannot be read ({}): mend it".format(path, error.strerror)) from None


def _entries(folder):
    """(names of the files, names of the folders) in `folder`, each sorted; hidden ones do not count."""
    files, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            with contextlib.suppress(OSError):  # a link to itself
                if entry.is_file():
                    files.append(entry.name)
                elif entry.is_dir():
                    folders.append(entry.name)
    return sorted(files), sorted(folders)


class TarSource:
    """The members of an uncompressed tar that lie below `prefix/`, by name in plain string order."""

    def __init__(self, path, prefix):
        self.spec, self.path = "{}#{}".format(path, prefix), str(path)
        prefix = prefix.rstrip("/") + "/" if prefix else ""
        members = {
            member.name[len(prefix) :]: member
            for member in list_members(self.path)[0]
            if member.name.startswith(prefix)
        }
        self.names = sorted(members)
        self._places = [members[name] for name in self.names]

    def __len__(self):
        return len(self.names)

    def read(self, i):
        return read_member(self.path, self._places[i])


def open_source(spec, class_folders=False):
    """Open `spec`: a data set folder (with a manifest), a plain folder, or `file.tar#prefix`.

    The result has `names` (list of str), `read(i)` (bytes of picture i) and `len()`. With `class_folders` a
    folder of folders of pictures will do as well, and names hold the folder: for those who take pictures and
    no ids from names. Raises Refusal when nothing is there, and for such a folder without `class_folders`.
    """
    path, _, prefix = str(spec).partition("#")
    if os.path.isfile(os.path.join(path, NAME)):
        return ShardSet(path)
    if os.path.isdir(path):
        source = FolderSource(path)
        if source.class_folders and not class_folders:
            raise Refusal(
                "{}: expected pictures, found folders only: name one of them, or put the pictures into one "
                "folder (only pre-training reads class folders)".format(path)
            )
        return source
    if os.path.isfile(path) and is_tar(path):
        return TarSource(path, prefix)
    raise Refusal(
        "{}: no such folder of pictures, data set or tar: see `encore data` for what belongs there".format(
            path
        )
    )
