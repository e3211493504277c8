"""The ensemble of several models: their descriptors side by side, whitened to 256 numbers (spec drip 6.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np

from encore.data.descriptors import Submission
from encore.data.faiss_transform import PcaMatrix
from encore.runtime.refusal import Refusal
from encore.search.multi_scale import l2_normalised
from encore.search.pca_whitening import WHITENING_POWER, apply_pca, train_pca
from encore.search.tiling import BLOCK, rows_of

DIMENSIONS = 256
PUBLISHED_MODELS = (
    ("test5", 512),
    ("test19", 384),
    ("test24", 384),
    ("test25 epoch 16", 384),
    ("test25 epoch 14", 384),
    ("test26 epoch 17", 256),
    ("test9 epoch 9", 256),
    ("test10 epoch 37", 256),
)
"""The published ensemble in its order, each with its width: 2816 numbers in all."""


@dataclass(frozen=True)
class EnsembleVersion:
    """A published ensemble: `name`, and on what its PCA is `trained_on`: "reference" or "training"
    descriptors."""

    name: str
    trained_on: str

    def file_name(self, normalised=False, phase=1):
        """The published name of its submission; `normalised`: by its training neighbours."""
        return "submission_{}{}{}.h5".format(
            self.name, "_NORM" if normalised else "", "_P2" if phase == 2 else ""
        )


V8 = EnsembleVersion("V8", "reference")
V9 = EnsembleVersion("V9", "training")
"""The submission of phase 2; it keeps the rule that references are independent of each other."""
VERSIONS = {version.name: version for version in (V8, V9)}


@dataclass(frozen=True, eq=False)
class Ensemble:
    """`descriptors` (Submission) and `training` (None without): float32 (n, 256), L2-normalised; `pca`."""

    descriptors: Submission
    training: Optional[np.ndarray]
    pca: PcaMatrix


class SideBySide:
    """Sets of `tiling` of the same pictures as one set: the rows of all `parts`, one behind the other."""

    def __init__(self, parts, what):
        parts = [rows_of(part, what) for part in parts]
        if len({part.shape[0] for part in parts}) != 1:
            raise Refusal(
                "expected as many {} descriptors of every model (and one model at least), found {}: extract "
                "them of the same pictures".format(what, [part.shape[0] for part in parts])
            )
        self._parts = parts
        self.shape = (parts[0].shape[0], sum(part.shape[1] for part in parts))

    def read(self, first, last):
        """float32 (last - first, d): the rows `first` to `last` - 1."""
        joined, column = np.empty((last - first, self.shape[1]), dtype=np.float32), 0
        for part in self._parts:
            joined[:, column : column + part.shape[1]] = part.read(first, last)
            column += part.shape[1]
        return joined


def make_ensemble(models, training=None, version=V9, dimensions=DIMENSIONS):
    """The Ensemble of `models`, whose descriptors may be of different width.

    `models`, `training`: a Submission of every model, in one order: the files of references and those whose
    references are the training pictures, read in blocks: of 1,000,000 x 2816 never more than 0.9 GB. faiss
    would train the PCA on 1,000 rows a dimension of more than that; published ensembles stay below. Refuses
    models of different ids, and a row without a direction.
    """
    _same_ids(models, "query_ids")
    _same_ids(models, "reference_ids")
    training_rows = None
    if training is not None:
        _same_ids(training, "reference_ids")
        _same_models(models, training)
        training_rows = SideBySide([file.reference for file in training], "training")
    query, reference = (
        SideBySide([getattr(model, side) for model in models], side) for side in ("query", "reference")
    )
    learned = {"reference": reference, "training": training_rows}[version.trained_on]
    if learned is None:
        raise Refusal(
            "expected training descriptors, on which the PCA of {} is trained, found none: extract them, or "
            "take V8".format(version.name)
        )
    pca = train_pca(learned, dimensions, WHITENING_POWER)
    return Ensemble(
        Submission(
            whitened(pca, query), whitened(pca, reference), models[0].query_ids, models[0].reference_ids
        ),
        None if training_rows is None else whitened(pca, training_rows),
        pca,
    )


def whitened(pca, rows):
    """The rows of a set of `tiling`, or of float32 (n, d), by `pca`, L2-normalised: float32 (n, m)."""
    rows = rows_of(rows, "ensemble")
    count, white = rows.shape[0], np.empty((rows.shape[0], len(pca.matrix)), dtype=np.float32)
    for first in range(0, count, BLOCK):
        last = min(first + BLOCK, count)
        white[first:last] = apply_pca(pca, rows.read(first, last))
    return l2_normalised(white)


def _same_ids(files, name):
    for number, file in enumerate(files):
        if getattr(file, name) != getattr(files[0], name):
            raise Refusal(
                "expected the same {} in the same order of every model, found others of model {}: extract "
                "all models' descriptors of one data set".format(name, number + 1)
            )


def _same_models(models, training):
    widths = [[file.reference.shape[1] for file in files] for files in (models, training)]
    if widths[0] != widths[1]:
        raise Refusal(
            "expected training descriptors of the same models in the same order, found widths {} and {}: "
            "give one file of references and one of training pictures for each model".format(*widths)
        )
