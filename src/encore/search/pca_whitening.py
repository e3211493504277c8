"""PCA whitening as faiss's PCAMatrix does it with an eigen power of -0.5 (spec isc-track1-test 2.3).

y_i = (x - mean) . v_i / sqrt(lambda_i): v_i are eigenvectors of the scatter matrix, the sum of
(x - mean)(x - mean)^T, lambda_i its eigenvalues, largest first. Sums are float64 here, float32 in faiss;
results are float32 in both. faiss leaves the sign of v_i to chance; here its largest entry is positive.
"""

from __future__ import annotations

import numpy as np

from encore.data.faiss_transform import PcaMatrix
from encore.runtime.refusal import Refusal

WHITENING_POWER = -0.5
BLOCK = 1024
"""Rows that are held as float64 at a time."""


def train_pca(vectors, dimensions, eigen_power=WHITENING_POWER, names=None):
    """The PcaMatrix from d to `dimensions` numbers of `vectors`: float32 (n, d), or a set of `tiling`, which
    gives the same bits and of which BLOCK rows (d, where there are fewer) are in memory at a time.

    With n < d the axes come from the n x n products of the vectors, as in faiss: n axes then, not d. faiss
    would train on 1,000 d of more vectors than that; here all are used. Refuses fewer vectors than
    `dimensions`, vectors that span fewer, and NaN or infinity by row (and by `names`, where given).
    """
    vectors = vectors if hasattr(vectors, "read") else _Table(vectors)
    count, inputs = vectors.shape
    _check_counts(vectors.shape, dimensions)
    mean = _mean(vectors, names)
    values, axes = (_from_scatter if count >= inputs else _from_products)(vectors, mean)
    _check_rank(values, dimensions, count, inputs)
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    matrix = (axes[:dimensions] * (values[:dimensions] ** eigen_power)[:, None]).astype(np.float32)
    mean = mean.astype(np.float32)
    eigenvalues = np.zeros(inputs, dtype=np.float32)
    eigenvalues[: len(values)] = values
    return PcaMatrix(
        mean,
        eigenvalues,
        axes.astype(np.float32),
        matrix,
        -(matrix.astype(np.float64).dot(mean)).astype(np.float32),
        eigen_power,
    )


def apply_pca(pca, vectors):
    """matrix . x + offset of every row of `vectors` float32 (n, d): float32 (n, m), not normalised."""
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or vectors.shape[1] != pca.matrix.shape[1]:
        raise Refusal(
            "expected vectors of width {}, on which the PCA was trained, found shape {}; extract both with "
            "the same model".format(pca.matrix.shape[1], vectors.shape)
        )
    return vectors.dot(pca.matrix.T) + pca.offset


class _Table:
    """`vectors` (n, d) in memory, read as a set of `tiling` is."""

    def __init__(self, vectors):
        self._vectors = np.asarray(vectors, dtype=np.float32)
        self.shape = self._vectors.shape

    def read(self, first, last):
        return self._vectors[first:last]


def _blocks(vectors):
    """(number of its first row, float32 (b, d)) of every block of a set."""
    count = vectors.shape[0]
    for first in range(0, count, BLOCK):
        yield first, vectors.read(first, min(first + BLOCK, count))


def _mean(vectors, names):
    """float64 (d,) of finite vectors."""
    total, bad = np.zeros(vectors.shape[1]), []
    for first, block in _blocks(vectors):
        with np.errstate(invalid="ignore"):  # row after row, so the same in blocks of any size
            total = np.concatenate([total[None], block]).sum(axis=0)
        bad += (first + np.flatnonzero(~np.isfinite(block).all(axis=1))).tolist()
    _check_finite(bad, names)
    return total / vectors.shape[0]


def _from_scatter(vectors, mean):
    """Eigenvalues (d,) of the scatter matrix, descending, and its eigenvectors (d, d), one a row."""
    scatter = np.zeros((vectors.shape[1],) * 2)
    for _, block in _blocks(vectors):
        centred = block - mean
        scatter += centred.T.dot(centred)
    values, axes = np.linalg.eigh(scatter)
    return np.maximum(values[::-1], 0), np.ascontiguousarray(axes.T[::-1])


def _from_products(vectors, mean):
    """The n largest of the same, by the products (n, n) of fewer vectors than they have entries.

    If P u = lambda u for the products P = X X^T, then X^T u is an eigenvector of X^T X, with the same lambda.
    """
    centred = vectors.read(0, vectors.shape[0]) - mean
    values, combinations = np.linalg.eigh(centred.dot(centred.T))
    axes = combinations.T[::-1].dot(centred)
    lengths = np.linalg.norm(axes, axis=1)
    return np.maximum(values[::-1], 0), axes / np.where(lengths > 0, lengths, 1)[:, None]


def _check_counts(shape, dimensions):
    count, inputs = shape
    if not 1 <= dimensions <= inputs:
        raise Refusal(
            "PCA: expected 1 to {} dimensions, the width of the vectors, found {}".format(inputs, dimensions)
        )
    if count < dimensions:
        raise Refusal(
            "PCA: expected at least as many training pictures as dimensions ({}), found {}: lower "
            "pca.dimensions or train on more".format(dimensions, count)
        )


def _check_finite(bad, names):
    """`bad`: numbers of the rows that are not finite."""
    if bad:
        name = "" if names is None else " ({})".format(names[bad[0]])
        raise Refusal(
            "PCA: expected finite vectors, found NaN or infinity in row {}{} ({} rows in all): check the "
            "weights".format(bad[0], name, len(bad))
        )


def _check_rank(values, dimensions, count, inputs):
    noise = values[0] * max(count, inputs) * np.finfo(np.float64).eps
    rank = int((values > noise).sum())
    if rank < dimensions:
        raise Refusal(
            "PCA: expected training pictures that span at least {} dimensions, found {} ({} pictures): lower "
            "pca.dimensions or train on more different pictures".format(dimensions, rank, count)
        )
