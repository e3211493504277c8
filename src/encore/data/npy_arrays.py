"""Arrays in numpy's own format, whose headers are judged before memory is taken for what they say."""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile

import numpy

from encore.runtime.bounded_file import file_size, read_bounded
from encore.runtime.refusal import Refusal

LARGEST = 1 << 29
"""Bytes of a file: 512 MiB."""
LONGEST_HEADER = 1 << 14
"""Bytes; numpy reads the header as a Python literal."""
MOST_EMPTY = 1 << 20
"""Elements without bytes, which a file of any size may state."""
MAGIC = b"\x93NUMPY"
BAD = (OSError, EOFError, MemoryError, RecursionError, RuntimeError, SyntaxError, struct.error)
BAD += (zipfile.BadZipFile, tokenize.TokenError, LookupError, TypeError, ValueError, ArithmeticError)
BAD += (AttributeError,)
"""What numpy and zipfile raise of a damaged file."""


def read_npy(path, largest=LARGEST):
    """The array of a file that `numpy.save` wrote; OSError where it cannot be opened; Refusal for what is no
    plain file or too large; ValueError, in one line, for anything else, objects included."""
    return array_of(read_bounded(path, largest))


def array_of(data):
    """The array of the bytes of such a file; ValueError in one line."""
    try:
        _check_header(data)
        return numpy.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except BAD as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None


def _check_header(data):
    version = data[6:8]
    if data[:6] != MAGIC or version not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ValueError("it does not begin as an array of numpy")
    width = 2 if version == b"\1\0" else 4
    length = int.from_bytes(data[8 : 8 + width], "little")
    if length > LONGEST_HEADER:
        raise ValueError("a header of {} bytes".format(length))
    read = numpy.lib.format.read_array_header_1_0 if width == 2 else numpy.lib.format.read_array_header_2_0
    file = io.BytesIO(data[: 8 + width + length])
    file.seek(8)
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("an array of objects")
    elements = 1
    for side in shape:
        elements *= int(side)
    if elements < 0 or elements * dtype.itemsize > len(data) - file.tell():
        raise ValueError("an array {} of {} in {} bytes".format(shape, dtype, len(data) - file.tell()))
    if dtype.itemsize == 0 and elements > MOST_EMPTY:
        raise ValueError("an array {} of elements without bytes".format(shape))


def read_npz(path, largest=LARGEST):
    """{name: array} of an uncompressed .npz; OSError and Refusal as read_npy; ValueError, in one line, for
    anything else: an entry that stands twice, is compressed or encrypted, or is no array."""
    file_size(path, largest)
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return {
                    entry.filename[: -len(".npy")]: array_of(archive.read(entry))
                    for entry in _entries(archive, file.seek(0, 2))
                }
        except BAD as error:
            raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None


def _entries(archive, size):
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names) or not all(name.endswith(".npy") for name in names):
        raise ValueError("entries other than arrays, each once")
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise ValueError("compressed or encrypted entries")
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("entries that are larger than the file")
    return entries


def refusal(path, error, advice):
    """The Refusal of a file, from one of the errors above."""
    reason = getattr(error, "strerror", None) or error
    return Refusal("{}: no arrays can be read from it ({}): {}".format(path, reason, advice))
