"""Descriptor files and submissions in the published HDF5 layouts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import List

import numpy as np

from encore.data.hdf5_file import dataset, opened
from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal

UNIT_LENGTH_TOLERANCE = 1e-4
"""How far a length may be from 1: float32 rounding of 8192 squares is below 1e-5."""

IMAGE_ENDINGS = (".jpg", ".png")


def chunk_path(pattern, chunk):
    """The file of chunk number `chunk`: the number goes after the first "_" of the file name (spec
    isc-track1-test 2.4)."""
    folder, name = os.path.split(os.fspath(pattern))
    first, mark, rest = name.partition("_")
    if not mark:
        raise Refusal(
            "expected a '_' in the name of a descriptor file, where the chunk number goes, found {!r}; "
            "name it like query_256.hdf5".format(name)
        )
    return os.path.join(folder, "{}_{}_{}".format(first, chunk, rest))


def chunk_files(pattern):
    """The paths of all chunk files of `pattern`, in the order of their numbers.

    Refuses none at all, a missing one between others, and, where the files say of how many pictures they are
    a part (attribute "rows", ours), too few or too many rows in all. Reads no vectors.
    """
    folder, name = os.path.split(chunk_path(pattern, "*"))
    first, last = name.split("*", 1)
    found = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
    middles = (other[len(first) : len(other) - len(last)] for other in found if _between(other, first, last))
    numbers = sorted(int(middle) for middle in middles if middle.isdigit() and str(int(middle)) == middle)
    for expected, number in enumerate(numbers or [None]):
        if number != expected:
            raise Refusal(
                "{}: missing, {}: extract these descriptors again".format(
                    chunk_path(pattern, expected),
                    "as are all others"
                    if number is None
                    else "{} is there".format(chunk_path(pattern, number)),
                )
            )
    paths = [chunk_path(pattern, number) for number in numbers]
    _check_complete(paths)
    return paths


def _between(name, first, last):
    return len(name) > len(first) + len(last) and name.startswith(first) and name.endswith(last)


def _check_complete(paths):
    rows, expected = 0, None
    for path in paths:
        with opened(path) as store:
            rows += dataset(store, "vectors", path).len()
            expected = int(store.attrs.get("rows", -1))
    if expected not in (None, -1, rows):
        raise Refusal(
            "{}: expected {} descriptors in all chunk files up to this one, found {}: extract them "
            "again".format(paths[-1], expected, rows)
        )


def descriptor_id(image_name):
    """The id of a picture: the text after the last "/", without .jpg or .png."""
    name = image_name.rpartition("/")[2]
    return name[:-4] if name.endswith(IMAGE_ENDINGS) else name


def write_descriptors(path, vectors, image_names, attributes=None):
    """Write one descriptor file, atomically: `vectors` float32 (n, d) and `image_names` fixed-length ASCII
    bytes (n,).

    `attributes` (dict of text) are stored beside them as HDF5 attributes, which published readers do not look
    at.
    """
    import h5py

    vectors = np.asarray(vectors, dtype=np.float32)
    _check_rows(path, vectors, image_names, "vectors", "image_names")
    _check_finite(path, vectors, 0)
    names = _fixed_bytes(path, image_names)
    with replacing(path, "w+b") as file:
        with h5py.File(file, "w") as store:
            _store(store, "vectors", vectors)
            _store(store, "image_names", names)
            store.attrs.update(attributes or {})


def read_descriptors(paths, width=None, normalised=True, rows=None):
    """Read descriptor files as one: (ids list of str, vectors float32 (n, d)), in the order of `paths`.

    Refuses, naming file and row: another width (than `width`, or than the first file's), NaN or infinity, a
    length that is not 1 (unless `normalised` is False), an id that came before, as many names as not
    vectors, and another number of rows in all than `rows`, where that is given.
    """
    ids, parts, seen = [], [], {}
    for path in paths:
        with opened(path) as store:
            vectors = _dataset(store, "vectors", path)
            names = _texts(_dataset(store, "image_names", path))
        _check_rows(path, vectors, names, "vectors", "image_names")
        width = vectors.shape[1] if width is None else width
        if vectors.shape[1] != width:
            raise Refusal(
                "expected descriptors of width {}, found {} in {}; extract it with the same model".format(
                    width, vectors.shape[1], path
                )
            )
        _check_finite(path, vectors, 0)
        if normalised:
            _check_lengths(path, vectors)
        for row, name in enumerate(map(descriptor_id, names)):
            if name in seen:
                raise Refusal(
                    "expected every id once, found {} in {} row {} and before in {}; remove one of "
                    "them".format(name, path, row, seen[name])
                )
            seen[name] = path
            ids.append(name)
        parts.append(vectors)
    if not parts:
        raise Refusal("expected at least one descriptor file, found none; extract the descriptors first")
    if rows is not None and len(ids) != rows:
        raise Refusal(
            "{}: expected {} descriptors in all files up to this one, found {}: the row {} is missing or too "
            "many; extract them again".format(path, rows, len(ids), min(rows, len(ids)))
        )
    return ids, np.concatenate(parts)


def read_attributes(path):
    """The attributes of a descriptor file as a dict, without reading its vectors."""
    with opened(path) as store:
        return dict(store.attrs)


@dataclass(frozen=True, eq=False)
class Submission:
    """What the descriptor track hands in: `query` float32 (q, d) and `reference` float32 (r, d) with their
    ids."""

    query: np.ndarray
    reference: np.ndarray
    query_ids: List[str]
    reference_ids: List[str]


def write_submission(path, submission):
    """Write `query`, `reference` (float32), `query_ids`, `reference_ids` (bytes), rows sorted by id,
    atomically."""
    import h5py

    with replacing(path, "w+b") as file:
        with h5py.File(file, "w") as store:
            for side in ("query", "reference"):
                vectors = np.asarray(getattr(submission, side), dtype=np.float32)
                ids = getattr(submission, side + "_ids")
                _check_rows(path, vectors, ids, side, side + "_ids")
                _check_finite(path, vectors, side)
                names = _fixed_bytes(path, ids)
                order = np.argsort(names, kind="stable")
                _store(store, side, vectors[order])
                _store(store, side + "_ids", names[order])


def read_submission(path, largest_width=256):
    """Read a Submission; refuses a width above `largest_width` (the track's limit), unequal widths, NaN or
    infinity, repeated ids, and as many ids as not vectors, naming file and row."""
    with opened(path) as store:
        query, reference = (_dataset(store, side, path) for side in ("query", "reference"))
        ids = [_texts(_dataset(store, side + "_ids", path)) for side in ("query", "reference")]
    for side, vectors, names in (("query", query, ids[0]), ("reference", reference, ids[1])):
        _check_rows(path, vectors, names, side, side + "_ids")
        _check_finite(path, vectors, side)
        _check_unique(path, names)
        if vectors.shape[1] > largest_width:
            raise Refusal(
                "expected at most {} dimensions, found {} in data set {} of {}".format(
                    largest_width, vectors.shape[1], side, path
                )
            )
    if query.shape[1] != reference.shape[1]:
        raise Refusal(
            "expected query and reference of equal width, found {} and {} in {}".format(
                query.shape[1], reference.shape[1], path
            )
        )
    return Submission(query, reference, ids[0], ids[1])


def _store(store, name, values):
    store.create_dataset(name, data=values, track_times=False)  # equal contents make equal files


def _dataset(store, name, path):
    stored = dataset(store, name, path)
    if name.endswith(("_ids", "_names")):
        if stored.dtype.kind not in "SO" or stored.ndim != 1:
            raise Refusal(
                "expected texts in data set {!r}, found {} of shape {} in {}".format(
                    name, stored.dtype, stored.shape, path
                )
            )
        return stored[()]
    if stored.dtype.kind not in "fiu":
        raise Refusal("expected numbers in data set {!r}, found {} in {}".format(name, stored.dtype, path))
    return np.asarray(stored[()], dtype=np.float32)


def _texts(values):
    return [value.decode("ascii") if isinstance(value, bytes) else value for value in values.tolist()]


def _fixed_bytes(path, names):
    try:
        encoded = [name.encode("ascii") for name in names]
    except UnicodeEncodeError as error:
        raise Refusal(
            "expected ASCII names, as the published layout holds, found {!r} for {}; rename the "
            "picture".format(error.object, path)
        ) from error
    return np.array(encoded, dtype="S{}".format(max([len(name) for name in encoded] + [1])))


def _check_rows(path, vectors, names, what, names_what):
    if vectors.ndim != 2 or len(vectors) != len(names):
        raise Refusal(
            "expected one row of {} for each of the {} {}, found shape {} in {}".format(
                what, len(names), names_what, vectors.shape, path
            )
        )


def _check_finite(path, vectors, where):
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        place = "row {}".format(bad[0]) if where == 0 else "data set {} row {}".format(where, bad[0])
        raise Refusal(
            "expected finite descriptors, found NaN or infinity in {} {} ({} rows in all); extract them "
            "again".format(path, place, len(bad))
        )


def _check_lengths(path, vectors):
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    bad = np.flatnonzero(np.abs(lengths - 1) > UNIT_LENGTH_TOLERANCE)
    if len(bad):
        raise Refusal(
            "expected L2-normalised descriptors, found length {:.6f} in {} row {} ({} rows in all)".format(
                lengths[bad[0]], path, bad[0], len(bad)
            )
        )


def _check_unique(path, names):
    seen = set()
    for row, name in enumerate(names):
        if name in seen:
            raise Refusal("expected every id once, found {} again in {} row {}".format(name, path, row))
        seen.add(name)
