"""What lies at a path: the names and sizes of a folder's, a tar's or one file's contents."""

from __future__ import annotations

import os
from dataclasses import dataclass

from encore.data.tar_members import list_members
from encore.runtime.atomic import file_digest
from encore.runtime.refusal import Refusal


@dataclass(frozen=True)
class Listing:
    """What lies at a path: file names in string order, the bytes of each, the digest of a file or tar.

    `root` and `files` say which files on the disk hold it: {name below root: bytes}.
    """

    names: list[str]
    sizes: list[int]
    root: str
    files: dict[str, int]
    sha256: str | None = None

    @property
    def bytes(self):
        return sum(self.sizes)


def list_files(spec, slashes=None, digest=True):
    """The Listing of a folder, a file, or `file.tar#prefix`; None when nothing is there.

    A folder that holds folders and no file is listed as `folder/file` of each (one folder a class); with
    `slashes` everything down to names with so many of them is listed instead. Hidden files and folders are
    passed over. A folder is scanned once, file contents unread: 1,000,000 files take seconds. digest: whether
    a single file or tar is read for its digest.
    """
    path, marker, prefix = str(spec).partition("#")
    if marker:
        return _list_tar(path, prefix, digest) if os.path.isfile(path) else None
    if os.path.isfile(path):
        root, name = os.path.split(path)
        files = {name: os.path.getsize(path)}
        return Listing([name], list(files.values()), root, files, file_digest(path) if digest else None)
    if not os.path.isdir(path):
        return None
    try:
        files = dict(sorted(_tree(path, slashes).items()))
    except OSError as error:
        raise Refusal(f"{error.filename}: cannot be listed ({error.strerror}): make it readable") from None
    return Listing(list(files), list(files.values()), path, files)


def _tree(folder, slashes):
    """{name: bytes} of a folder down to names with `slashes` slashes; None: one, if no file lies above."""
    files, folders = _scan(folder)
    if slashes is None:
        slashes = 0 if files else 1
    for name in folders if slashes else ():
        within = _tree(f"{folder}/{name}", slashes - 1)
        for file, size in within.items():
            files[f"{name}/{file}"] = size
    return files


def _scan(folder):
    """({file name: bytes}, [folder name]) of what lies directly in a folder."""
    files, folders = {}, []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_file():
                files[entry.name] = entry.stat().st_size
            elif entry.is_dir():
                folders.append(entry.name)
    return files, folders


def _list_tar(path, prefix, digest):
    prefix = prefix.rstrip("/") + "/" if prefix else ""
    found = {
        member.name[len(prefix) :]: member.size
        for member in list_members(path)[0]
        if member.name.startswith(prefix)
    }
    root, name = os.path.split(path)
    names = sorted(found)
    sizes = [found[name] for name in names]
    return Listing(names, sizes, root, {name: os.path.getsize(path)}, file_digest(path) if digest else None)
