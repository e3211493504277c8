"""Files that others made, read only as far as they can be what is expected: plain files of a bounded size."""

from __future__ import annotations

import errno
import os
import stat

from encore.runtime.refusal import Refusal

LARGEST_TEXT = 1 << 24
"""Bytes of a file of settings, names or counts: 16 MiB; parsed, it may take twenty times as much memory."""
LONGEST_LINE = 1 << 16
"""Bytes of a line of a table: 64 KiB."""


def file_size(path, largest=None):
    """Bytes of the file at `path`; OSError where there is none or a folder; Refusal, unopened, for what is
    no plain file (opening a named pipe waits for its other end for ever), and for more bytes than `largest`.
    """
    try:
        status = os.stat(path)
    except ValueError as error:  # a name with a zero byte
        raise OSError(errno.EINVAL, str(error)) from None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        raise Refusal(
            "{}: expected a file, found a named pipe, a device or a socket: put the file there".format(path)
        )
    if largest is not None and status.st_size > largest:
        raise Refusal(
            "{}: {} bytes, expected at most {}: this is not such a file, give the right one".format(
                path, status.st_size, largest
            )
        )
    return status.st_size


def read_bounded(path, largest=LARGEST_TEXT):
    """The bytes of a file; OSError as `open` raises it; Refusal as `file_size`."""
    size = file_size(path, largest)
    with open(path, "rb") as file:
        data = file.read(size + 1)
    if len(data) > size:
        raise Refusal(
            "{}: became longer than {} bytes while it was read: run again when nothing writes it".format(
                path, size
            )
        )
    return data


def bounded_lines(file, path, longest=LONGEST_LINE):
    """The lines of a text file that is open, for csv.reader; Refusal, naming file and line, for a longer one
    than `longest` characters: of a table of 10^8 columns no more is read."""
    number = 0
    for line in iter(lambda: file.readline(longest + 1), ""):
        number += 1
        if len(line) > longest:
            raise Refusal(
                "{}: line {} has more than {} characters: this is no such table, give the right one".format(
                    path, number, longest
                )
            )
        yield line
