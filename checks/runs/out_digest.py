"""The outputs of stages as they lie on disk, by the digests that DVC gives them."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import os
import re
import stat
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from encore.data.manifest import NAME as MANIFEST
from encore.runtime.atomic import write_json
from encore.runtime.json_file import read_json_file

HASHED_BYTES = 4_000_000_000
"""A file or folder larger than this is told by count and size alone, and so is everything after as much has
been read in one process: `encore verify` is meant to answer in seconds."""

REMEMBERED_BYTES = 65_536  # the next process reads smaller files again: as quick as to look them up
SETTLED_SECONDS = 2.0  # a file younger than this may change again without another time stamp
MD5 = re.compile(r"[0-9a-f]{32}")
IGNORED = ("*.tmp-*", "__pycache__", ".work", ".venv", ".envs", ".images")  # as .dvcignore says
NEVER_EQUAL = ("events.out.tfevents.*", "log.txt", "train_log")
"""Records of how a training went, in the folder of its weights: time stamps and rates make each run's own."""

IN_MANIFEST = ("shard-*.tar", "shard-*.index.npy", MANIFEST)
"""What a manifest's digest covers, in whatever number of shards it lies."""


@dataclass(frozen=True)
class OnDisk:
    """One output as it lies there: `md5` as DVC computes it (None: too large to hash), bytes, and, of a
    folder, its number of files, its `content` (a digest of those files that two equal runs share) and the
    relative path of the newest."""

    md5: str | None
    size: int
    nfiles: int | None = None
    content: str | None = None
    newest: str | None = None


class Digests:
    """The digests of outputs below one size folder.

    Files are remembered by size, time stamp and inode; large ones for the next process too, where the folder
    has a `.work`.
    """

    def __init__(self, folder, limit=HASHED_BYTES):
        self._folder, self._limit, self._read = Path(folder), limit, 0
        self._store = self._folder / ".work" / "digests.json"
        self._changed = False
        self._known = self._remembered()
        self._too_large = {}

    def of(self, path):
        """The OnDisk of the output `path` (relative to the size folder); None when it is not there."""
        place = self._folder / path
        try:
            found = os.stat(place)
            if stat.S_ISDIR(found.st_mode):
                there = self._of_folder(path)
            else:
                there = OnDisk(self._file(path, found, found.st_size), found.st_size)
        except (FileNotFoundError, NotADirectoryError):
            there = None
        self._too_large[path] = there is not None and there.md5 is None
        return there

    def too_large(self, path):
        """Whether an output was told by count and size alone when it was last asked for; of one that never
        was, whether it would be now."""
        if path not in self._too_large:
            self.of(path)
        return self._too_large[path]

    def remember(self):
        """Write what was computed since the last call; a folder that cannot be written is left as it is."""
        if self._changed and self._store.parent.is_dir():
            with contextlib.suppress(OSError):
                large = {path: row for path, row in self._known.items() if row[0] >= REMEMBERED_BYTES}
                write_json(self._store, large)
                self._changed = False

    def _of_folder(self, path):
        place = str(self._folder / path)
        files = {name: os.stat(f"{place}/{name}") for name in files_below(place)}
        size = sum(found.st_size for found in files.values())
        newest = max(files, key=lambda name: (files[name].st_mtime_ns, name), default=None)
        digests = {name: self._file(f"{path}/{name}", found, size) for name, found in files.items()}
        if None in digests.values():
            return OnDisk(None, size, len(files), None, newest)
        covered = NEVER_EQUAL + (IN_MANIFEST if MANIFEST in files else ())
        kept = {name: md5 for name, md5 in digests.items() if not _matches(name, covered)}
        return OnDisk(f"{_listed(digests)}.dir", size, len(files), _listed(kept), newest)

    def _file(self, path, found, whole):
        """The MD5 of a file; None where it, or the folder of `whole` bytes around it, is too much to read."""
        stamp = [found.st_size, found.st_mtime_ns, found.st_ino]
        known = self._known.get(path)
        if known is not None and known[:3] == stamp:
            return known[3]
        if whole > self._limit or self._read + found.st_size > self._limit:
            return None
        self._read += found.st_size
        md5 = _md5(self._folder / path)
        if time.time() - found.st_mtime > SETTLED_SECONDS:
            self._known[path] = [*stamp, md5]
            self._changed = self._changed or found.st_size >= REMEMBERED_BYTES
        return md5

    def _remembered(self):
        """What the last process has left; whatever else stands there is written anew."""
        try:
            value = read_json_file(self._store)
        except FileNotFoundError:
            return {}
        except (OSError, RecursionError, ValueError):
            value = None
        rows = value.items() if isinstance(value, dict) else ()
        known = {path: row for path, row in rows if _is_remembered(row)}
        self._changed = value is None or len(known) != len(value)
        return known


def _is_remembered(row):
    """Whether a row of the store is [size, time stamp, inode, md5]."""
    if not isinstance(row, list) or [type(item) for item in row] != [int, int, int, str]:
        return False
    return MD5.fullmatch(row[3]) is not None


@lru_cache(maxsize=8)
def digests_of(folder):
    """The Digests of a resolved size folder, one for the whole process."""
    return Digests(folder)


def is_log(path):
    """Whether a file is one that no two runs write alike."""
    return _matches(path, NEVER_EQUAL)


def files_below(folder):
    """The relative paths (with /) of the files of a folder that DVC counts, sorted."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _matches(name, IGNORED)]
        relative = os.path.relpath(place, folder).replace(os.sep, "/")
        prefix = "" if relative == "." else relative + "/"
        found += [prefix + name for name in names if not _matches(name, IGNORED)]
    return sorted(found)


def _listed(digests):
    """DVC's digest of a folder: the MD5 of the JSON list of its files and their digests."""
    rows = [{"md5": digests[name], "relpath": name} for name in sorted(digests)]
    return hashlib.md5(json.dumps(rows, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def _md5(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _matches(path, patterns):
    return _pattern(patterns).fullmatch(path.rsplit("/", 1)[-1]) is not None


@lru_cache(maxsize=8)
def _pattern(patterns):
    return re.compile("|".join(map(fnmatch.translate, patterns)))
