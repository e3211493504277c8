"""Names of the descriptor files of one model at one scale, as published (spec isc-track1-test 2.4)."""

from __future__ import annotations

import os

from encore.systems.isc_track1.test_plan import MULTI_PART

DESCRIPTORS = "descriptors/isc_track1"
"""Folder of all groups."""
PCA = "pca_byol.vt"
TRAIN = "train_byol.hdf5"
REFERENCES = "references_byol.hdf5"
AUGMENTED_QUERIES = "query_byol_VD_50k.hdf5"
PARTS = "references_byol_exp.hdf5"
ORIGINAL_QUERIES = "query_byol.hdf5"
MULTI_PART_FOLDER = MULTI_PART + "_ref"
"""In place of the tag: original queries against references in 19 parts."""


def model_folder(tag, backbone, scale):
    """Folder of one model's files at one scale, within its group's."""
    return os.path.join(tag, backbone, str(scale))
