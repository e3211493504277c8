"""HDF5 files of tables, of which only plain data sets that lie in the file itself are read."""

from __future__ import annotations

import contextlib
import os

from encore.data.hdf5_chunks import DEFLATE, FILTERS, check_chunks, chunked_bytes, filters_of
from encore.data.hdf5_heap import check_texts
from encore.runtime.bounded_file import file_size
from encore.runtime.refusal import Refusal

MOST_STRETCHED = 16
"""Bytes of a compressed data set for each one that is stored; descriptors hardly shrink."""
ALWAYS_READ = 1 << 20
"""Bytes of a compressed data set, or of a chunk, that are read however little of them is stored."""
BAD = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, IndexError)
"""What h5py raises of a damaged file, UnicodeDecodeError among them."""


@contextlib.contextmanager
def opened(path):
    """A with block with the h5py.File `path` open for reading; Refusal, naming it, where it cannot be opened
    or read. A Refusal of the block's own passes."""
    import h5py

    try:
        file_size(path)
        with h5py.File(os.fspath(path), "r") as store:
            yield store
    except BAD as error:
        raise Refusal(
            "expected an HDF5 file, found none that can be read at {} ({})".format(
                path, " ".join(str(error).split())[:300]
            )
        ) from error


def dataset(store, name, path):
    """The h5py.Dataset `name` of an open file.

    Refusal, naming file and data set, where it is missing, is reached by a link (soft or into another file),
    is no data set, keeps its numbers elsewhere (external files, virtual data sets), refers to objects, has
    filters other than FILTERS, or says that it is larger than what is stored. ValueError, for `opened`, where
    its chunks or texts are damaged.
    """
    import h5py

    if name not in list(store):
        raise Refusal("expected a data set {!r}, found {} in {}".format(name, sorted(store)[:20], path))
    if not isinstance(store.get(name, getlink=True), h5py.HardLink):
        raise _refusal(path, name, "a link to somewhere else")
    values = store[name]
    if not isinstance(values, h5py.Dataset):
        raise _refusal(path, name, "a group")
    if values.is_virtual or values.external:
        raise _refusal(path, name, "one whose numbers lie in other files")
    if h5py.check_ref_dtype(values.dtype) is not None:
        raise _refusal(path, name, "references to objects")
    if values.shape is None:
        raise _refusal(path, name, "an empty one")
    _check_stored(path, name, values)
    if values.dtype.kind == "O":
        _check_texts(path, name, values)
    elif filters_of(values):
        check_chunks(values, path)
    return values


def _check_texts(path, name, values):
    import h5py

    if h5py.check_string_dtype(values.dtype) is None:
        raise _refusal(path, name, "lists")
    if filters_of(values):
        raise _refusal(
            path, name, "compressed texts of any length", "write them without compression and checksums"
        )
    check_texts(values, path)


def _check_stored(path, name, values):
    stored = values.id.get_storage_size()
    stated = values.dtype.itemsize
    for side in values.shape:
        stated *= int(side)
    filters = filters_of(values)
    if filters != [number for number in FILTERS if number in filters]:
        raise _refusal(
            path, name, "one with other filters than gzip", "write it without compression or with gzip"
        )
    whole = chunked_bytes(values) if values.chunks else stated
    most = max(MOST_STRETCHED * stored, ALWAYS_READ) if DEFLATE in filters else stored
    if stated > most or stored > os.path.getsize(path) or whole > max(most, ALWAYS_READ):
        raise _refusal(path, name, "{} bytes, of which {} are stored".format(max(stated, whole), stored))


def _refusal(path, name, found, mend="extract the descriptors again"):
    return Refusal(
        "{}: data set {!r}: expected plain numbers or texts in this file, found {}: {}".format(
            path, name, found, mend
        )
    )
