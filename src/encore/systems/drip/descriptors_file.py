"""The HDF5 files of query and reference descriptors beside a checkpoint, as published (spec drip 6.3).

`<checkpoint>_160x160_REF.h5` holds `query` and `reference` (float32) with `query_ids` and `reference_ids`
(variable-length UTF-8); in `_TRN.h5` the training pictures take the place of the references. Published
sizes: 50,000 x 256 and 1,000,000 x 256, 1.1 GB a file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from encore.data.descriptors import Submission, read_attributes
from encore.data.hdf5_file import dataset, opened
from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal
from encore.search.tiling import BLOCK, first_row_not_finite, rows_of, same_width

QUERY_LETTER = "Q"
"""First letter of the ids of queries."""


@dataclass(frozen=True)
class Kind:
    """What a file holds as `reference`: `suffix` of its name, first `letter` of the ids."""

    suffix: str
    letter: str


CHECKPOINT = "checkpoint_sha256"
"""Attribute of a file: who made its descriptors."""
REFERENCES = Kind("REF", "R")
TRAINING = Kind("TRN", "T")


def descriptors_path(checkpoint, kind=REFERENCES, size=160, flip=False):
    """The path of the descriptors that `checkpoint` (`<name>.ckpt`) gives of pictures of `size` x `size`
    pixels; flip: of both views (`extraction.ExtractionRecipe`), `<name>_160x160_AUG_REF.h5`."""
    stem, ending = os.path.splitext(os.fspath(checkpoint))
    if ending != ".ckpt":
        raise Refusal("{}: expected a checkpoint named <name>.ckpt, found {!r}".format(checkpoint, ending))
    return "{}_{size}x{size}_{}{}.h5".format(stem, "AUG_" if flip else "", kind.suffix, size=size)


def write_descriptors(path, descriptors, kind=REFERENCES, checkpoint=None):
    """Write a Submission, atomically, in the order of its rows.

    `query` and `reference`: float32 (n, d), in memory or sets of `tiling`, whose blocks of BLOCK rows are
    read one after the other, each once. So the references of a file that is open can be written over it
    with new queries. checkpoint: SHA-256 of the file whose network made them, kept as the attribute
    CHECKPOINT (published files have none, and their readers do not ask); None: of none, or of several.
    Refuses, by file, data set and row, as many ids as not rows, an id that comes twice or begins with another
    letter, unequal widths, and NaN or infinity.
    """
    import h5py

    sides = [
        (name, rows_of(getattr(descriptors, name), "{}: {}".format(path, name)), _ids_of(descriptors, name))
        for name in ("query", "reference")
    ]
    same_width(sides[0][1], sides[1][1])
    for name, rows, ids in sides:
        _check_ids(path, name, rows.shape, ids, kind)
    with replacing(path, "w+b") as file:
        with h5py.File(file, "w") as store:
            if checkpoint is not None:
                store.attrs[CHECKPOINT] = checkpoint
            for name, rows, ids in sides:
                _store_rows(store, path, name, rows)
                store.create_dataset(
                    name + "_ids",
                    data=np.array(ids, dtype=object),
                    dtype=h5py.string_dtype("utf-8"),
                    track_times=False,  # equal contents make equal files
                )


def open_descriptors(path, kind=REFERENCES):
    """The Submission of a file: `query` float32 (q, d) in memory, `reference` a StoredRows.

    Reads our files and published ones; ids may also be of fixed length, as in the challenge's submissions.
    Refuses, naming file and data set: a missing data set, vectors that are not rows of float32, ids that are
    not text, and what write_descriptors refuses.
    """
    rows, ids = {}, {}
    with opened(path) as store:
        for name in ("query", "reference"):
            rows[name] = StoredRows(path, name, _shape(store, path, name))
            ids[name] = _read_ids(store, path, name + "_ids")
            _check_ids(path, name, rows[name].shape, ids[name], kind)
    if rows["query"].shape[1] != rows["reference"].shape[1]:
        raise Refusal(
            "{}: expected query and reference of equal width, found {} and {}: extract both with the same "
            "model".format(path, rows["query"].shape[1], rows["reference"].shape[1])
        )
    query = rows["query"].read(0, len(rows["query"]))
    return Submission(query, rows["reference"], ids["query"], ids["reference"])


def checkpoint_of(path):
    """SHA-256 of the checkpoint that made a descriptor file, as its attribute says; None: it says nothing."""
    return read_attributes(path).get(CHECKPOINT)


class StoredRows:
    """The rows of the data set `name` of a file, read when they are asked for: a set of `tiling`."""

    def __init__(self, path, name, shape):
        self.path, self.name, self.shape = os.fspath(path), name, shape

    def __len__(self):
        return self.shape[0]

    def read(self, first, last):
        """float32 (last - first, d): the rows `first` to `last` - 1; Refusal when one is not finite."""
        with opened(self.path) as store:
            rows = dataset(store, self.name, self.path)[first:last]
        _check_finite(self.path, self.name, rows, first)
        return rows


def _store_rows(store, path, name, rows):
    count = rows.shape[0]
    stored = store.create_dataset(name, shape=rows.shape, dtype=np.float32, track_times=False)
    for first in range(0, count, BLOCK):
        last = min(first + BLOCK, count)
        block = np.asarray(rows.read(first, last), dtype=np.float32)
        _check_finite(path, name, block, first)
        stored[first:last] = block


def _shape(store, path, name):
    values = _dataset(store, path, name)
    if values.ndim != 2 or values.dtype != np.float32:
        raise Refusal(
            "{}: expected {} as float32 rows of a table, found {} of shape {}: extract the descriptors "
            "again".format(path, name, values.dtype, values.shape)
        )
    return values.shape


def _read_ids(store, path, name):
    import h5py

    values = _dataset(store, path, name)
    if values.ndim != 1 or h5py.check_string_dtype(values.dtype) is None:
        raise Refusal(
            "{}: expected {} as a list of texts, found {} of shape {}: extract the descriptors again".format(
                path, name, values.dtype, values.shape
            )
        )
    try:
        return values.asstr("utf-8")[()].tolist()
    except UnicodeDecodeError as error:
        raise Refusal("{}: expected {} in UTF-8, found {!r}".format(path, name, error.object)) from None


def _dataset(store, path, name):
    if name not in list(store):
        raise Refusal("{}: expected a data set {!r}, found {}".format(path, name, sorted(store)[:20]))
    return dataset(store, name, path)


def _ids_of(descriptors, name):
    return list(getattr(descriptors, name + "_ids"))


def _check_ids(path, name, shape, ids, kind):
    if len(ids) != shape[0]:
        raise Refusal(
            "{}: expected one id for each row of {}, found {} ids and shape {}: extract the descriptors "
            "again".format(path, name, len(ids), tuple(shape))
        )
    letter = QUERY_LETTER if name == "query" else kind.letter
    seen = set()
    for row, text in enumerate(ids):
        if not text.startswith(letter):
            raise Refusal(
                "{}: expected ids that begin with {} in {}_ids, found {!r} in row {}: give a {} file".format(
                    path, letter, name, text, row, kind.suffix
                )
            )
        if text in seen:
            raise Refusal(
                "{}: expected every id once, found {!r} again in {}_ids row {}: remove one of them".format(
                    path, text, name, row
                )
            )
        seen.add(text)


def _check_finite(path, name, rows, first):
    bad = first_row_not_finite(rows)
    if bad is not None:
        raise Refusal(
            "{}: expected finite descriptors, found NaN or infinity in {} row {}: extract them again".format(
                path, name, first + bad
            )
        )
