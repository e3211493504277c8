"""What a torch file holds, found out without loading it: its archive, its pickles, its tensors' places."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
import zipfile

from encore.runtime.pickle_check import BoundedFile, PickleCheck
from encore.runtime.pickle_parts import Storage, storage_of, wrong
from encore.runtime.torch_zip_entries import checked_entries

ZIP_START = b"PK\x03\x04"
LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""Pickled magic number at the head of files from before torch 1.6."""
LARGEST_PICKLE = 1 << 27
"""Bytes of the pickle in a zip file, which holds no numbers of tensors."""


def check_torch_file(file, inert=()):
    """The outermost stand-in of a torch file (zip or older form) that is open for reading and seeking.

    Raises as PickleCheck, and what zipfile does of a damaged archive; pickle.UnpicklingError for a zip file
    that torch.save does not write (`torch_zip_entries`), and for one of the older form that is a tar archive
    too, the oldest form, which torch looks for first.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(len(LEGACY_START))
    file.seek(0)
    if start == LEGACY_START:
        _check_no_tar(file)
        return _check_legacy(file, size, inert)
    if not start.startswith(ZIP_START):
        raise wrong("a file that torch.save wrote", start)
    with zipfile.ZipFile(file) as archive:
        return _check_zip(archive, file, inert)


def _check_no_tar(file):
    try:
        tarfile.TarInfo.frombuf(file.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        file.seek(0)
        return
    raise wrong("no tar archive", LEGACY_START)


def _check_zip(archive, file, inert):
    if any(name.endswith("/constants.pkl") for name in archive.namelist()):
        raise Program()
    entries = checked_entries(archive, file)
    inside = {name.partition("/")[2]: entry for name, entry in entries.items()}
    if len({name.partition("/")[0] for name in entries}) != 1 or "data.pkl" not in inside:
        raise wrong("one folder with data.pkl", sorted(entries))
    if inside["data.pkl"].file_size > LARGEST_PICKLE:
        raise wrong("data.pkl of at most {} bytes".format(LARGEST_PICKLE), inside["data.pkl"].file_size)

    storages = _Storages(sum(entry.file_size for entry in entries.values()))

    def storage(name):
        key, found = storages.found(name)
        entry = inside.get("data/" + key)
        if entry is None or entry.file_size < found.bytes:
            raise wrong("{} bytes in data/{}".format(found.bytes, key), entry and entry.file_size)
        return found

    data = archive.read(inside["data.pkl"])
    return PickleCheck(BoundedFile(io.BytesIO(data), len(data)), storage, inert=inert).load()


class Program(Exception):
    """A TorchScript program is no file of tensors."""


def _check_legacy(file, size, inert):
    storages, bounded = _Storages(size), BoundedFile(file, size)
    for _ in range(3):  # magic number, version, system
        PickleCheck(bounded).load()
    content = PickleCheck(bounded, lambda name: storages.found(name)[1], inert=inert).load()
    keys = PickleCheck(bounded).load()
    texts = type(keys) is list and all(type(key) is str for key in keys)
    if not texts or sorted(keys) != sorted(storages.by_key):
        raise wrong("the names of {} storages".format(len(storages.by_key)), keys)
    for key in keys:
        expected = storages.by_key[key]
        (count,) = struct.unpack("<q", bounded.read(8))
        if count != expected.count:
            raise wrong("{} elements in the storage {}".format(expected.count, key), count)
        bounded.skip(expected.bytes)
    return content


class _Storages:
    """The storages that a pickle has named, each of one size, together of at most `size` bytes."""

    def __init__(self, size):
        self.by_key, self._left = {}, size

    def found(self, name):
        """(key, Storage) of a persistent id."""
        key, found = storage_of(name)
        if key not in self.by_key:
            self.by_key[key] = found
            self._left -= found.bytes
        if self.by_key[key].bytes != found.bytes:
            raise wrong("one size of the storage {}".format(key), found.bytes)
        if self._left < 0:
            raise wrong("storages within the bytes of the file", name)
        return key, found


def check_storage_file(file):
    """The Storage of a torch file inside a plain pickle."""
    found = check_torch_file(file)
    if not isinstance(found, Storage):
        raise pickle.UnpicklingError(
            "expected the numbers of a tensor, found {}".format(type(found).__name__)
        )
    return found
