"""PCA matrices in the file layout of faiss (`pca_byol.vt`), read and written without faiss."""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass

import numpy as np

from encore.runtime.atomic import replacing
from encore.runtime.bounded_file import file_size
from encore.runtime.refusal import Refusal

LARGEST = 1 << 28
"""Bytes: 256 MiB; from 2048 to 1500 numbers takes 29 MB."""
OF_171 = b"PcAm"
"""Kind of a PCA matrix in faiss 1.7.1."""
LATER = b"Pcam"
"""Its kind in later versions: an `epsilon` follows the power of the eigenvalues."""


@dataclass(frozen=True, eq=False)
class PcaMatrix:
    """A trained PCA: y = matrix . x + offset (all float32; d inputs, m outputs, k axes)."""

    mean: np.ndarray
    """(d,)"""
    eigenvalues: np.ndarray
    """(d,): of the scatter matrix, which is not divided by the number of vectors; descending, zero-filled"""
    axes: np.ndarray
    """(k, d): orthonormal, in the order of the eigenvalues; k >= m"""
    matrix: np.ndarray
    """(m, d): the first m axes, each times its eigenvalue to the power `eigen_power`"""
    offset: np.ndarray
    """(m,): minus matrix . mean"""
    eigen_power: float = 0.0
    epsilon: float = 0.0
    """Added to an eigenvalue before its power is taken; always 0 in faiss 1.7.1."""
    random_rotation: bool = False
    balanced_bins: int = 0

    @property
    def digest(self):
        """SHA-256 of what decides the output: matrix and offset."""
        digest = hashlib.sha256(repr(self.matrix.shape).encode("ascii"))
        for values in (self.matrix, self.offset):
            digest.update(np.ascontiguousarray(values, dtype="<f4").tobytes())
        return digest.hexdigest()


def pca_file_bytes(inputs, outputs, vectors):
    """Size of the file of a PCA from `inputs` to `outputs` numbers, trained on `vectors` vectors."""
    values = 2 * inputs + inputs * min(inputs, vectors) + outputs * inputs + outputs
    return 4 * values + 5 * 8 + 4 + 9 + 1 + 9


def write_pca(path, pca):
    """Write `pca` as faiss 1.7.1 does, atomically; with an epsilon, which that version cannot hold, in the
    later layout."""
    outputs, inputs = pca.matrix.shape
    with replacing(path) as file:
        file.write(LATER if pca.epsilon else OF_171)
        file.write(struct.pack("<f", pca.eigen_power))
        if pca.epsilon:
            file.write(struct.pack("<f", pca.epsilon))
        file.write(struct.pack("<?i", pca.random_rotation, pca.balanced_bins))
        for values in (pca.mean, pca.eigenvalues, pca.axes):
            _write_vector(file, values)
        file.write(struct.pack("<?", True))  # there is an offset
        for values in (pca.matrix, pca.offset):
            _write_vector(file, values)
        file.write(struct.pack("<ii?", inputs, outputs, True))  # trained


def read_pca(path):
    """Read a PcaMatrix that we or faiss wrote, in either layout; Refusal where the file is anything else."""
    try:
        size = file_size(os.fspath(path), LARGEST)
        with open(os.fspath(path), "rb") as file:
            reader = _Reader(path, file, size)
            return _read(path, reader)
    except OSError as error:
        raise Refusal(
            "{}: no PCA file that can be read ({}): train the whitening first".format(path, error.strerror)
        ) from error


def _read(path, reader):
    kind = reader.raw(4)
    if kind not in (OF_171, LATER):
        raise Refusal(
            "{}: expected a faiss PCA matrix, which starts with {} or {}, found {}".format(
                path, OF_171.decode(), LATER.decode(), kind
            )
        )
    (eigen_power,) = reader.values("<f")
    (epsilon,) = reader.values("<f") if kind == LATER else (0.0,)
    random_rotation, balanced_bins = reader.values("<?i")
    mean, eigenvalues, axes = (reader.vector() for _ in range(3))
    (has_offset,) = reader.values("<?")
    matrix, offset = reader.vector(), reader.vector()
    inputs, outputs, trained = reader.values("<ii?")
    if reader.left:
        raise Refusal(
            "{}: {} bytes follow the PCA matrix: not a whole file of its own".format(path, reader.left)
        )
    if not (trained and has_offset):
        raise Refusal("{}: the PCA matrix was not trained: train the whitening again".format(path))
    _check_sizes(path, inputs, outputs, mean, eigenvalues, axes, matrix, offset)
    if not (np.isfinite(matrix).all() and np.isfinite(offset).all()):
        raise Refusal("{}: the PCA matrix holds NaN or infinity: train the whitening again".format(path))
    return PcaMatrix(
        mean,
        eigenvalues,
        axes.reshape(-1, inputs),
        matrix.reshape(outputs, inputs),
        offset,
        eigen_power,
        epsilon,
        random_rotation,
        balanced_bins,
    )


def _check_sizes(path, inputs, outputs, mean, eigenvalues, axes, matrix, offset):
    for what, found, fits in (
        ("inputs", inputs, inputs > 0),
        ("outputs", outputs, outputs > 0),
        ("numbers in the mean", len(mean), len(mean) == inputs),
        ("eigenvalues", len(eigenvalues), len(eigenvalues) == inputs),
        ("numbers in the axes", len(axes), inputs > 0 and not len(axes) % inputs),
        ("numbers in the matrix", len(matrix), len(matrix) == inputs * outputs),
        ("numbers in the offset", len(offset), len(offset) == outputs),
    ):
        if not fits:
            raise Refusal(
                "{}: {} {} do not fit a PCA from {} to {} numbers: the file is damaged, train the whitening "
                "again".format(path, found, what, inputs, outputs)
            )


def _write_vector(file, values):
    values = np.ascontiguousarray(values, dtype="<f4")
    file.write(struct.pack("<Q", values.size))
    file.write(values.tobytes())


class _Reader:
    """Takes values off a file and never more than it holds."""

    def __init__(self, path, file, size):
        self.path, self.file, self.left = path, file, size

    def raw(self, count):
        if count > self.left:
            raise Refusal(
                "{}: expected {} more bytes, found {}: the file is cut short, train the whitening "
                "again".format(self.path, count, self.left)
            )
        self.left -= count
        return self.file.read(count)

    def values(self, layout):
        return struct.unpack(layout, self.raw(struct.calcsize(layout)))

    def vector(self):
        """float32 (n,), n as the file says."""
        (count,) = self.values("<Q")
        return np.frombuffer(self.raw(4 * count), dtype="<f4").astype(np.float32)
