"""Named arrays in one file whose bytes depend on nothing but them: an uncompressed .npz without dates."""

from __future__ import annotations

import io
import os
import zipfile

import numpy as np

from encore.data.npy_arrays import read_npz
from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal

SUFFIX = ".npy"
INTEGERS = ("u1", "i1", "<u2", "<i2", "<u4", "<i4")


class NoEvidence(Refusal, FileNotFoundError):
    """A number without evidence: its file is missing, or has no such number. What is broken is a plain
    Refusal."""


def write_archive(path, arrays):
    """Write {name: array} to `path`, atomically; the names in order, each array in the smallest type that
    holds its numbers exactly (`compact`).

    Stored, not deflated: two libraries deflate the same numbers to different bytes.
    """
    folder = os.path.dirname(os.fspath(path))
    if folder:
        os.makedirs(folder, exist_ok=True)
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            content = io.BytesIO()
            np.lib.format.write_array(content, compact(arrays[name]), allow_pickle=False)
            entry = zipfile.ZipInfo(name + SUFFIX)  # dated 1980
            entry.create_system = 3
            archive.writestr(entry, content.getvalue())


def read_archive(path):
    """{name: array} of the file `path`; NoEvidence for a missing one, Refusal for one that is cut off or
    damaged. Runs no code of it."""
    try:
        return read_npz(os.fspath(path))
    except FileNotFoundError:
        raise NoEvidence(
            "{}: missing: pull it with `dvc pull`, or run the stage that writes it".format(path)
        ) from None
    except (OSError, ValueError) as error:
        raise Refusal(
            "{}: no evidence can be read from it ({}): pull it again, or run its stage".format(
                path, " ".join(str(error).split())
            )
        ) from None


def compact(values):
    """`values` in the smallest integer type, or in float32, where that changes none of them."""
    values = np.ascontiguousarray(values)
    if values.dtype.kind in "iu":
        low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
        for name in INTEGERS:
            limits = np.iinfo(np.dtype(name))
            if limits.min <= low and high <= limits.max:
                return values.astype(name)
        return values.astype("<i8")
    if values.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            single = values.astype("<f4")
        return single if np.array_equal(single, values) else values.astype("<f8")
    raise TypeError("evidence holds integers and floats, not {}".format(values.dtype))


def encoded(texts):
    """uint8 (n,): texts as UTF-8, each with a line break behind it; ValueError for one that holds such."""
    joined = "".join(text + "\n" for text in texts)
    if joined.count("\n") != len(texts):
        raise ValueError("a name in evidence holds no line break")
    return np.frombuffer(joined.encode("utf-8"), dtype=np.uint8)


def decoded(values):
    """The list of str that `encoded` made an array of; ValueError for another array."""
    if values.dtype != np.uint8 or values.ndim != 1 or (len(values) and values[-1] != ord("\n")):
        raise ValueError("expected lines of text, found {} of shape {}".format(values.dtype, values.shape))
    return values.tobytes().decode("utf-8").split("\n")[:-1]
