"""The detections of a set of pictures, in the layout that the published detector writes.

One float array (n, 6) a picture: x1, y1, x2, y2, confidence, class, by falling confidence, in pixels of the
letterboxed frame of the network (not of the picture). The published files are `<picture's file name>.npy`
(`Q50000.jpg.npy`), written only where something was found.
"""

from __future__ import annotations

import os

import numpy as np

from encore.data.inner_names import is_file_name
from encore.data.npy_arrays import read_npy, read_npz
from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal

OVERLAY, EMOJI = 0, 1
CLASSES = ("Overlay", "Emoji")
ARCHIVE = "detections.npz"
PUBLISHED_SUFFIX = ".npy"
PUBLISHED_SIZE = 640


class Detections:
    """Detections by picture: `names`, `size` (long side of the frame in pixels), `of(name)`."""

    def __init__(self, rows_of, size, names, source):
        self.size, self.names, self.source = int(size), list(names), str(source)
        self._rows_of, self._known = rows_of, set(self.names)

    @classmethod
    def open(cls, folder, published_size=PUBLISHED_SIZE):
        """Open a folder that `write_detections` wrote, or one of published `<name>.npy` files (frames of
        `published_size`); Refusal where it holds neither, or an archive that is damaged."""
        path = os.path.join(str(folder), ARCHIVE)
        if os.path.isfile(path):
            return cls._from_archive(path)
        if os.path.isdir(str(folder)):
            files = sorted(name for name in os.listdir(str(folder)) if name.endswith(PUBLISHED_SUFFIX))
            if files:
                return cls._from_files(str(folder), files, published_size)
        raise Refusal(
            "{}: no {} and no <picture>.npy files there: run the detect stage, or place the published "
            "detections".format(folder, ARCHIVE)
        )

    @classmethod
    def _from_archive(cls, path):
        try:
            archive = read_npz(path)
            names, rows = archive["names"].tolist(), archive["rows"]
            counts, size = archive["counts"], int(archive["size"])
            if archive["names"].dtype.kind != "U" or counts.dtype.kind != "i" or (counts < 0).any():
                raise ValueError("names and counts of another kind")
            if not all(is_file_name(name) for name in names):
                raise ValueError("a name that is no file name")
            ends = np.cumsum(counts)
        except (ValueError, KeyError, OSError, TypeError) as error:
            raise Refusal("{}: no archive of detections ({}): detect again".format(path, error)) from error
        if len(names) != len(ends) or len(rows) != (ends[-1] if len(ends) else 0):
            raise Refusal("{}: its counts do not add up to its rows: detect again".format(path))
        found = {name: rows[start:end] for name, start, end in zip(names, [0] + ends.tolist(), ends.tolist())}
        for name in names:
            check(found[name], "{}: {}".format(path, name))
        return cls(found.__getitem__, size, names, path)

    @classmethod
    def _from_files(cls, folder, files, size):
        def read(name):
            path = os.path.join(folder, name + PUBLISHED_SUFFIX)
            try:
                rows = read_npy(path)
            except (ValueError, OSError) as error:
                raise Refusal("{}: no array of detections ({}): take it again".format(path, error)) from error
            return check(rows, path)

        return cls(read, size, [name[: -len(PUBLISHED_SUFFIX)] for name in files], folder)

    def __len__(self):
        return len(self.names)

    def of(self, name):
        """The detections of the picture `name` (a file name such as Q50000.jpg): float (n, 6); n is 0 where
        nothing was found. Refusal, naming the file, for an array that is not in the layout."""
        return self._rows_of(name) if name in self._known else np.zeros((0, 6), dtype=np.float32)

    def refuse_strangers(self, names):
        """Raise Refusal when there are detections of a picture that is not among `names`."""
        strangers = sorted(self._known - set(names))
        if strangers:
            raise Refusal(
                "{}: {} of its {} pictures are not among the queries; the first is {}: take the detections "
                "of this query set".format(self.source, len(strangers), len(self), strangers[0])
            )

    def export(self, folder):
        """Write the published files, one for each picture with detections, into `folder`."""
        os.makedirs(str(folder), exist_ok=True)
        for name in self.names:
            rows = self.of(name)
            if len(rows):
                with replacing(os.path.join(str(folder), name + PUBLISHED_SUFFIX)) as file:
                    np.save(file, rows, allow_pickle=False)


def write_detections(folder, names, arrays, size):
    """Write the detections of `names` (an array each, n 0 where nothing was found) as one archive.

    size: long side of the network's frame in pixels.
    """
    names, arrays = list(names), [np.asarray(rows, dtype=np.float32).reshape(-1, 6) for rows in arrays]
    if len(names) != len(arrays) or len(set(names)) != len(names):
        raise ValueError("expected one array for each of the names, none twice")
    for name, rows in zip(names, arrays):
        check(rows, name)
    os.makedirs(str(folder), exist_ok=True)
    with replacing(os.path.join(str(folder), ARCHIVE)) as file:
        np.savez(
            file,
            names=np.array(names, dtype=str),
            counts=np.array([len(rows) for rows in arrays], dtype=np.int64),
            rows=np.concatenate(arrays) if arrays else np.zeros((0, 6), dtype=np.float32),
            size=np.int64(size),
        )


def check(rows, where):
    """`rows` if it is in the layout; else Refusal, which begins with `where`."""
    problem = _problem(rows)
    if problem is not None:
        raise Refusal(
            "{}: {}; expected rows x1, y1, x2, y2, confidence, class by falling confidence: take or make "
            "it again".format(where, problem)
        )
    return rows


def _problem(rows):
    if rows.dtype.kind != "f" or rows.ndim != 2 or rows.shape[1] != 6:
        return "{} array of shape {} instead of float (n, 6)".format(rows.dtype, rows.shape)
    if not np.isfinite(rows).all():
        return "row {} is not finite".format(int(np.argmin(np.isfinite(rows).all(axis=1))))
    confidence, kind = rows[:, 4], rows[:, 5]
    for fault, what in (
        ((rows[:, 2] < rows[:, 0]) | (rows[:, 3] < rows[:, 1]), "is a box whose end lies before its start"),
        ((confidence < 0) | (confidence > 1), "has a confidence outside 0 to 1"),
        (~np.isin(kind, (OVERLAY, EMOJI)), "has a class other than 0 ({}) and 1 ({})".format(*CLASSES)),
        (np.append(False, confidence[1:] > confidence[:-1]), "has more confidence than the one before it"),
    ):
        if fault.any():
            return "row {} {}".format(int(np.argmax(fault)), what)
    return None
