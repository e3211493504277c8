"""What lies in an uncompressed tar, by its headers: nothing is unpacked."""

from __future__ import annotations

import re
import tarfile
from typing import NamedTuple

from encore.data.inner_names import refuse_outside
from encore.runtime.bounded_file import file_size
from encore.runtime.refusal import Refusal

LARGEST_HEADER = 1 << 20
"""Bytes of a long name or of further data of one member; a name has at most 4096."""
LONGEST_NAME = 1 << 12
ENDLESS = re.compile(rb"[0-9]{256}")
"""Digits at each of which older versions of tarfile begin anew; a part of a name has at most 255 bytes."""
RECORD = re.compile(rb"([0-9]+) [^=]{1,512}=")
"""The head of an entry in the further data of a member (pax): the bytes of the whole entry and its key."""

COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
"""Heads of gzip, bzip2 and xz."""
BAD = (ArithmeticError, EOFError, LookupError, TypeError, ValueError, tarfile.TarError)
"""What tarfile raises of a damaged file."""


class Member(NamedTuple):
    """A file in a tar: its name as written there, and where its bytes lie."""

    name: str
    offset: int
    size: int


def list_members(path):
    """([Member of each plain file], [name of each folder]) of the tar `path`, in its order.

    Links and devices do not count. Refusal, naming the file, for a compressed or damaged tar, a name that
    leads out of it, a member with holes (its bytes do not lie together), and one that ends behind the file.
    """
    files, folders = [], []
    try:
        size = file_size(path)
        with open(path, "rb") as raw, tarfile.open(fileobj=_HeaderReader(raw), mode="r:") as tar:
            after = -1
            for member in tar:
                if member.offset <= after:
                    raise tarfile.ReadError("the header at byte {} leads back".format(member.offset))
                after = member.offset
                _take(path, size, member, files, folders)
    except OSError as error:
        raise Refusal(
            "{}: cannot be read ({}): check the path and its rights".format(path, error.strerror or error)
        ) from None
    except RecursionError:
        raise _unreadable(path, "too many headers before a member") from None
    except BAD as error:
        raise _unreadable(path, " ".join(str(error).split()) or type(error).__name__) from None
    if not files and not folders and size > LARGEST_HEADER:
        raise Refusal("{}: a tar of {} bytes without a member: write it again".format(path, size))
    return files, folders


def is_tar(path):
    """Whether the plain file `path` begins as a tar, compressed or not."""
    try:
        file_size(path)
        with open(path, "rb") as file:
            head = file.read(tarfile.BLOCKSIZE)
        if head.startswith(COMPRESSED):
            return True
        tarfile.TarInfo.frombuf(head, tarfile.ENCODING, "surrogateescape")
    except (OSError, ValueError, tarfile.TarError):
        return False
    return True


def read_member(path, member):
    """The bytes of a Member; Refusal where the tar has become shorter."""
    with open(path, "rb") as file:
        file.seek(member.offset)
        data = file.read(member.size)
    if len(data) != member.size:
        raise Refusal("{}: ends within {}: it was cut off, copy the tar again".format(path, member.name))
    return data


def _unreadable(path, why):
    return Refusal(
        "{}: expected an uncompressed tar, found none that can be read ({}): unpack it, or write it "
        "again".format(path, why)
    )


def _take(path, size, member, files, folders):
    if not (member.isfile() or member.isdir()) or (member.isdir() and not member.name):
        return  # the folder without a name is the tar's root
    refuse_outside(path, [member.name])
    if member.isdir():
        folders.append(member.name)
    elif member.issparse() or member.size < 0 or member.offset_data + member.size > size:
        raise Refusal(
            "{}: the member {} has holes or ends behind the file: it was cut off or is no tar of pictures, "
            "copy or write it again".format(path, member.name)
        )
    else:
        files.append(Member(member.name, member.offset_data, member.size))


def _check_header(data):
    """Raise tarfile.ReadError for a long name or further data in which tarfile would walk to the end over and
    over: at each digit, or in an entry that ends before its own key does."""
    if ENDLESS.search(data):
        raise tarfile.ReadError("a number of more than 255 digits")
    at, record = 0, RECORD.match(data)
    while record is not None and int(record.group(1)) >= record.end() - at:
        at += int(record.group(1))
        record = RECORD.match(data, at)
    if len(data) - at > LONGEST_NAME + tarfile.BLOCKSIZE or record is not None:
        raise tarfile.ReadError("further data of a member that are none")


class _HeaderReader:
    """The file as tarfile reads headers of it: a header that says it is huge is not read."""

    def __init__(self, file):
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, count):
        if not 0 <= count <= LARGEST_HEADER:
            raise tarfile.ReadError("a header of {} bytes".format(count))
        data = self._file.read(count)
        if count > tarfile.BLOCKSIZE:
            _check_header(data)
        return data

    def close(self):
        """Its opener closes it."""
