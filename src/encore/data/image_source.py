"""Where pictures come from: a plain folder, part of a tar, or a finished data set."""

from __future__ import annotations

import os
import tarfile

from encore.data.manifest import NAME
from encore.data.shards import ShardSet
from encore.runtime.refusal import Refusal


class FolderSource:
    """The files of one folder, by file name in plain string order; hidden files (.DS_Store) do not count."""

    def __init__(self, folder):
        self.spec = str(folder)
        with os.scandir(self.spec) as entries:
            self.names = sorted(
                entry.name for entry in entries if entry.is_file() and not entry.name.startswith(".")
            )

    def __len__(self):
        return len(self.names)

    def read(self, i):
        with open(os.path.join(self.spec, self.names[i]), "rb") as file:
            return file.read()


class TarSource:
    """The members of an uncompressed tar that lie below `prefix/`, by name in plain string order."""

    def __init__(self, path, prefix):
        self.spec, self.path = "{}#{}".format(path, prefix), str(path)
        prefix = prefix.rstrip("/") + "/" if prefix else ""
        with tarfile.open(self.path, "r:") as tar:
            members = {
                member.name[len(prefix) :]: (member.offset_data, member.size)
                for member in tar
                if member.isfile() and member.name.startswith(prefix)
            }
        self.names = sorted(members)
        self._places = [members[name] for name in self.names]

    def __len__(self):
        return len(self.names)

    def read(self, i):
        offset, size = self._places[i]
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read(size)


def open_source(spec):
    """Open `spec`: a data set folder (with a manifest), a plain folder, or `file.tar#prefix`.

    The result has `names` (list of str), `read(i)` (bytes of picture i) and `len()`.
    Raises Refusal when nothing is there.
    """
    path, _, prefix = str(spec).partition("#")
    if os.path.isfile(os.path.join(path, NAME)):
        return ShardSet(path)
    if os.path.isdir(path):
        return FolderSource(path)
    if os.path.isfile(path) and tarfile.is_tarfile(path):
        return TarSource(path, prefix)
    raise Refusal(
        "{}: no such folder of pictures, data set or tar: see `encore data` for what belongs there".format(
            path
        )
    )
