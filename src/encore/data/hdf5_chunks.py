"""The chunks of an HDF5 data set as they are stored, gone over before libhdf5 inflates them: it follows each
to the end of its stream, however many bytes the chunk states."""

from __future__ import annotations

import functools
import operator
import os
import zlib

import numpy as np

SHUFFLE, DEFLATE, FLETCHER32 = 2, 1, 3
FILTERS = (SHUFFLE, DEFLATE, FLETCHER32)
"""Numbers of the filters that are read, each once at most and in this order, as h5py writes them."""
CHECKSUM_BYTES = 4
MOST_UNWRITTEN = 10000
"""Chunks that were never written; each costs a look."""

_whole = set()
"""(file, data set) whose chunks were gone over: a reader of blocks opens them anew for each block."""


def filters_of(values):
    """The numbers of an h5py.Dataset's filters, in the order in which they were applied."""
    created = values.id.get_create_plist()
    return [created.get_filter(i)[0] for i in range(created.get_nfilters())]


def chunked_bytes(values):
    """Bytes of all chunks of an h5py.Dataset when they are inflated, those beyond its edges too."""
    return _chunk_bytes(values) * _product(_grid(values))


def raw_chunks(values):
    """(filter mask, bytes) of each chunk of an h5py.Dataset that is stored; a mask has a bit for each filter
    that was not applied. ValueError where one cannot be read, and above MOST_UNWRITTEN that are not there."""
    stored, found, grid = values.id.get_num_chunks(), 0, _grid(values)
    for number in range(_product(grid) if stored else 0):
        place = np.unravel_index(number, grid)
        chunk = _raw_chunk(values, tuple(int(i) * side for i, side in zip(place, values.chunks)))
        if chunk is not None:
            found += 1
            yield chunk
        elif number - found >= MOST_UNWRITTEN:
            raise ValueError("more than {} unwritten chunks".format(MOST_UNWRITTEN))
    if found != stored:
        raise ValueError("{} chunks, of which {} can be read".format(stored, found))


def _raw_chunk(values, offsets):
    try:
        return values.id.read_direct_chunk(offsets)
    except (OSError, RuntimeError, ValueError):  # h5py says as much of one that was never written
        return None


def check_chunks(values, path):
    """Raise ValueError unless each stored chunk of `values`, an h5py.Dataset with FILTERS of the file at
    `path`, holds as many bytes as it states."""
    status = os.stat(path)
    key = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size, values.name
    if key in _whole:
        return
    filters, size = filters_of(values), _chunk_bytes(values)
    for mask, raw in raw_chunks(values):
        applied = [number for i, number in enumerate(filters) if not mask >> i & 1]
        if DEFLATE in applied:
            held, expected = _inflated_bytes(raw, size), size
        else:
            held, expected = len(raw), size + CHECKSUM_BYTES * (FLETCHER32 in applied)
        if held != expected:
            raise ValueError(
                "a chunk of {} bytes that holds {}".format(size, "more" if held > size else held)
            )
    _whole.add(key)


def _inflated_bytes(raw, size):
    """Bytes that come out of a stream; size + 1 for more than `size`."""
    try:
        return len(zlib.decompressobj().decompress(raw, size + 1))
    except zlib.error as error:
        raise ValueError(str(error)) from None


def _grid(values):
    """Chunks along each side."""
    return tuple(-(-side // step) for side, step in zip(values.shape, values.chunks))


def _chunk_bytes(values):
    return values.id.get_type().get_size() * _product(values.chunks)


def _product(numbers):
    return functools.reduce(operator.mul, numbers, 1)
