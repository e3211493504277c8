"""The heaps of an HDF5 file in which texts of any length lie, checked before libhdf5 walks through them: in a
damaged one it walks in a circle."""

from __future__ import annotations

import os
import struct

import numpy as np

from encore.data.hdf5_chunks import raw_chunks

REFERENCE = np.dtype([("bytes", "<u4"), ("heap", "<u8"), ("number", "<u4")])
"""A text of a data set: its length, the place of its heap and its number there."""
HEAP = struct.Struct("<4sB3xQ")
"""The head of a heap: mark, version, bytes with the head."""
OBJECT = struct.Struct("<HH4xQ")
"""The head of a text in a heap: its number (0: the free rest), uses, bytes; texts fill up eights."""
LARGEST_HEAP = 1 << 28


def check_texts(values, path):
    """Raise ValueError unless the texts of `values`, an h5py.Dataset without filters of the file at `path`,
    lie whole in heaps whose entries follow each other, and are together no longer than the file."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        references = np.concatenate(list(_references(values, file)))
        references = np.sort(references[references["heap"] > 0], order="heap", kind="mergesort")
        if references["bytes"].sum(dtype=np.int64) > size:
            raise ValueError("texts that are longer than the file")
        places, firsts = np.unique(references["heap"], return_index=True)
        after = 0
        for place, own in zip(places.tolist(), np.split(references, firsts[1:])):
            if place < after:
                raise ValueError("a heap within another heap")
            found, after = _heap(file, place, size)
            for length, _, number in own.tolist():
                if found.get(number) != length:
                    raise ValueError("a text that is not in its heap")


def _references(values, file):
    """The references of a data set in `file`, an array for each of its parts; an empty one first."""
    yield np.empty(0, REFERENCE)
    if values.chunks is not None:
        for _, raw in raw_chunks(values):
            yield np.frombuffer(raw, REFERENCE)
        return
    count = int(np.prod(values.shape, dtype=np.int64))
    place = values.id.get_offset()
    if place is None and count:
        raise ValueError("texts that are kept in the header or nowhere")
    yield _read(file, place or 0, count)


def _read(file, place, count):
    file.seek(place)
    data = file.read(count * REFERENCE.itemsize)
    if len(data) != count * REFERENCE.itemsize:
        raise ValueError("references behind the end of the file")
    return np.frombuffer(data, REFERENCE)


def _heap(file, place, size):
    """({number: bytes} of the texts in the heap at `place`, the byte behind it)."""
    if place > size - HEAP.size:
        raise ValueError("a heap behind the end of the file")
    file.seek(place)
    mark, version, length = HEAP.unpack(file.read(HEAP.size))
    if mark != b"GCOL" or version != 1 or not HEAP.size <= length <= min(LARGEST_HEAP, size - place):
        raise ValueError("a heap that is none")
    file.seek(place)
    data, at, found = file.read(length), HEAP.size, {}
    while at + OBJECT.size <= length:
        number, _, held = OBJECT.unpack_from(data, at)
        step = held if number == 0 else OBJECT.size + -(-held // 8) * 8
        if number in found or step < OBJECT.size or at + step > length:
            raise ValueError("entries of a heap that do not follow each other")
        if number == 0:
            break
        found[number], at = held, at + step
    return found, place + length
