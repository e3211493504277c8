"""Files of named arrays in the safetensors format, written in pieces and mapped.

Such a file is the length of its header (8 bytes, little-endian), the header (JSON: name -> dtype, shape and
place of the bytes; `__metadata__`: texts), and the arrays' bytes without gaps. It holds nothing that runs.
The safetensors package reads and writes the same files; it is not needed here.
"""

from __future__ import annotations

import contextlib
import functools
import json
import mmap
import operator
import os
import struct

import numpy as np

from encore.runtime.atomic import replacing
from encore.runtime.bounded_file import file_size
from encore.runtime.json_file import parse_json
from encore.runtime.refusal import Refusal

CODES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}
"""The dtypes of the format that are written here; all are known to every version of the package."""
NAMES = {np.dtype(dtype): code for code, dtype in CODES.items()}
METADATA = "__metadata__"
MOST_DIMENSIONS = 32
LARGEST_HEADER = 1 << 22
"""Bytes: 4 MiB; a file of ours has twelve arrays at most."""


class PieceWriter:
    """Takes the rows of each array in any order; see `writing`."""

    def __init__(self, file, start, places):
        self._file, self._start, self._places = file, start, places
        self._missing = {name: shape[0] for name, (_, shape, _) in places.items()}

    def put(self, name, first, rows):
        """Write `rows` (an array) as rows `first` on of `name`; each row once."""
        dtype, shape, (begin, end) = self._places[name]
        rows = np.ascontiguousarray(rows)
        if rows.dtype != dtype or rows.shape[1:] != shape[1:] or first + len(rows) > shape[0]:
            raise ValueError(
                "{} takes {} {}, found {} {} for row {}".format(
                    name, dtype, shape, rows.dtype, rows.shape, first
                )
            )
        self._file.seek(self._start + begin + first * ((end - begin) // shape[0]))
        self._file.write(memoryview(rows.reshape(-1).view(np.uint8)))
        self._missing[name] -= len(rows)

    def check_complete(self):
        """Raise ValueError unless as many rows came as each array has."""
        for name, missing in self._missing.items():
            if missing:
                raise ValueError("{}: {} rows were not written".format(name, missing))


@contextlib.contextmanager
def writing(path, arrays, metadata):
    """Write the file `path`, whole or not at all, inside a with block that is given a PieceWriter.

    arrays: name -> (dtype, shape), in the order of their bytes: wide dtypes first, so that each begins at a
    multiple of its width. metadata: texts by name.
    """
    header, places, total = _layout(arrays, metadata)
    with replacing(path) as file:
        file.write(header)
        file.truncate(len(header) + total)
        writer = PieceWriter(file, len(header), places)
        yield writer
        writer.check_complete()


def _layout(arrays, metadata):
    places, entries, end = {}, {METADATA: metadata}, 0
    for name, (dtype, shape) in arrays.items():
        dtype = np.dtype(dtype)
        begin, end = end, end + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        places[name] = dtype, tuple(shape), (begin, end)
        entries[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(entries, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, places, end


class TensorFile:
    """A safetensors file, mapped: `metadata` (texts by name) and `arrays` (name -> (dtype, shape)).

    Refusal, naming the file, where it is missing, truncated or none of this format.
    """

    def __init__(self, path):
        self.path = os.fspath(path)
        try:
            file_size(self.path)
            with open(self.path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                self._read_header(file, size)
                # private and writable: torch has no read-only tensors and would warn; the file never changes
                self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
        except OSError as error:
            raise Refusal(
                "{}: cannot be read ({}): check the path or make it first".format(self.path, error.strerror)
            ) from error

    def rows(self, name, first, end):
        """Rows `first` to `end` of an array, on the file's pages: nothing is copied; not to be written
        to."""
        dtype, shape = self.arrays[name]
        width = dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
        begin = self._begins[name] + first * width
        rows = np.frombuffer(self._map, dtype, (end - first) * width // dtype.itemsize, begin)
        return rows.reshape((end - first,) + shape[1:])

    def _read_header(self, file, size):
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(LARGEST_HEADER, size - 8):
            raise Refusal(
                "{}: not a safetensors file, or truncated ({} bytes): make or copy it again".format(
                    self.path, size
                )
            )
        try:
            entries = parse_json(file.read(length))
            self.metadata = dict(entries.pop(METADATA, {}))
            self.arrays, begins, end = _places(entries)
            if not all(type(text) is str for text in self.metadata.values()):
                raise ValueError("metadata are texts")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Refusal(
                "{}: the header of this safetensors file is damaged ({}): make or copy it again".format(
                    self.path, " ".join(str(error).split())[:200]
                )
            ) from error
        self._begins = {name: 8 + length + begin for name, begin in begins.items()}
        if size != 8 + length + end:
            raise Refusal(
                "{}: expected {} bytes, found {}: it is truncated or damaged; make or copy it again".format(
                    self.path, 8 + length + end, size
                )
            )


def _places(entries):
    """(name -> (dtype, shape), name -> first byte, bytes in all) of a header's entries; ValueError where they
    contradict each other."""
    arrays, begins, at = {}, {}, 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
        dtype, shape = np.dtype(CODES[entry["dtype"]]), tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        if any(type(number) is not int for number in shape + (begin, end)) or len(shape) > MOST_DIMENSIONS:
            raise ValueError("places and sides of {} that are no whole numbers".format(name))
        if begin != at or min(shape + (0,)) < 0:
            raise ValueError("a gap before {}".format(name))
        if end - begin != dtype.itemsize * _product(shape):
            raise ValueError("{} bytes of {} {} {}".format(end - begin, name, entry["dtype"], shape))
        arrays[name], begins[name], at = (dtype, shape), begin, end
    return arrays, begins, at


def _product(numbers):
    """Of whole numbers of any size: a damaged header may hold ones that no array type does."""
    return functools.reduce(operator.mul, numbers, 1)
