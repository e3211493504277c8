"""The pictures below a folder, by name, size and time of change, so that a million of them need little
memory."""

from __future__ import annotations

import os
import zlib
from array import array

import numpy as np

from encore.data.images import LARGEST_PICTURE, RejectedImage
from encore.runtime.bounded_file import read_bounded
from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal

SHARD = 256
"""Pictures of a shard on average: what a killed run loses at most is four times as many."""
LONGEST_SHARD = 4 * SHARD


class PictureListing:
    """The files below `folder`, by the bytes of their names relative to it; reads them one by one.

    `sizes`, `times` int64 (n,): bytes and time of change in nanoseconds, of a link that leads to no file its
    own. `allowed` bool (n,): whether there is a file that may be read.
    """

    def __init__(self, folder, names, sizes, times, allowed):
        self.folder = os.path.realpath(os.fsencode(folder))
        order = sorted(range(len(names)), key=names.__getitem__)
        self.names = Names(names[i] for i in order)
        self.sizes, self.times, self.allowed = (
            np.array(values, dtype=kind)[order] if len(order) else np.empty(0, dtype=kind)
            for values, kind in ((sizes, np.int64), (times, np.int64), (allowed, bool))
        )

    def __len__(self):
        return len(self.names)

    def read(self, i):
        """The bytes of picture i; RejectedImage where it may not be read, Refusal where it is gone."""
        path = os.path.join(self.folder, self.names[i])
        try:
            return read_bounded(path, LARGEST_PICTURE)
        except Refusal as refusal:
            raise RejectedImage(str(refusal)) from None
        except OSError as error:
            if isinstance(error, PermissionError) or not self.allowed[i]:
                raise RejectedImage(
                    "it cannot be read: {}".format((error.strerror or str(error)).lower())
                ) from None
            raise Refusal(
                "{}: cannot be read any more ({}): leave the folder as it is while the run goes on, then run "
                "the same command again".format(
                    path.decode("utf-8", "backslashreplace"), error.strerror or error
                )
            ) from None

    def address(self, first, last):
        """What the pictures `first` to `last` - 1 are known by, as bytes."""
        rows = [
            b"%s\0%d %d %d" % (self.names[i], self.sizes[i], self.times[i], self.allowed[i])
            for i in range(first, last)
        ]
        return b"\0\0".join([self.folder] + rows)

    def shards(self):
        """[(first row, row after the last one)]: parts of 256 pictures on average and 1,024 at most.

        A shard ends after a picture whose name says so, and not after so many: a picture that is added or
        taken away changes its own shard and not those behind it.
        """
        found, first = [], 0
        for row, name in enumerate(self.names, 1):
            if zlib.crc32(name) % SHARD == 0 or row - first == LONGEST_SHARD:
                found.append((first, row))
                first = row
        return found + ([(first, len(self))] if first < len(self) else [])


class Names:
    """Texts as bytes, one behind the other in memory: `names[i]`, `len(names)`, iteration."""

    def __init__(self, names):
        joined, ends = bytearray(), array("q", [0])
        for name in names:
            joined += name
            ends.append(len(joined))
        self._joined, self._ends = bytes(joined), ends

    def __len__(self):
        return len(self._ends) - 1

    def __getitem__(self, i):
        return self._joined[self._ends[i] : self._ends[i + 1]]

    def __iter__(self):
        return (self[i] for i in range(len(self)))


def list_pictures(folder, what, leave_out=None):
    """The PictureListing of all files below `folder`, also in its folders; `what` names it on the progress
    bar.

    Hidden files and folders, links to folders, and the folder `leave_out` do not count; links that lead
    nowhere do, and reading one rejects it. Refusal where no such folder is there, where it is empty, and
    where a folder below it cannot be read.
    """
    names, sizes, times, allowed = [], array("q"), array("q"), array("b")
    if not os.path.isdir(folder):
        raise Refusal("{}: no such folder of {}".format(folder, what))
    top = os.path.realpath(os.fsencode(folder))
    leave_out = None if leave_out is None else os.path.realpath(os.fsencode(leave_out))
    for entry in progress(_files(top, leave_out), None, "files of {}".format(what)):
        try:
            size, time, readable = _state(entry)
        except FileNotFoundError:  # gone since the folder was read
            continue
        names.append(entry.path[len(top) :].lstrip(b"/"))
        sizes.append(size)
        times.append(time)
        allowed.append(readable)
    if not names:
        raise Refusal("{}: this folder of {} is empty: put pictures into it".format(folder, what))
    return PictureListing(folder, names, sizes, times, allowed)


def _state(entry):
    """(size, time of change, whether it may be read) of a file; FileNotFoundError where it is gone."""
    try:
        state = entry.stat()
        return state.st_size, state.st_mtime_ns, os.access(entry.path, os.R_OK)
    except OSError:  # a link to itself, to nowhere, into a folder that is closed
        pass
    try:
        state = entry.stat(follow_symlinks=False)
        return state.st_size, state.st_mtime_ns, False
    except PermissionError:  # names can be read in this folder, but nothing else
        return 0, 0, False


def _files(top, leave_out):
    folders = [top]
    while folders:
        with _scanned(folders.pop()) as entries:
            for entry in entries:
                if entry.name.startswith(b"."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if os.path.realpath(entry.path) != leave_out:
                        folders.append(entry.path)
                elif _may_be_picture(entry):
                    yield entry


def _may_be_picture(entry):
    """Whether an entry that is no folder is a file, or a link that leads to nothing at all."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True


def _scanned(folder):
    try:
        return os.scandir(folder)
    except OSError as error:
        raise Refusal(
            "{}: this folder cannot be read: {}".format(
                folder.decode("utf-8", "backslashreplace"), (error.strerror or str(error)).lower()
            )
        ) from None
