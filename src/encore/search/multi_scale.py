"""One descriptor from several image scales."""

from __future__ import annotations

import numpy as np

from encore.runtime.refusal import Refusal


def mean_of_scales(scales):
    """The mean over `scales` (each float32 (n, d), same rows), L2-normalised again: float32 (n, d) (spec
    isc-track2 3)."""
    scales = list(scales)
    if not scales or any(vectors.shape != scales[0].shape for vectors in scales):
        raise Refusal(
            "expected descriptors of equal shape at every scale, found shapes {}; extract the missing "
            "scale".format([vectors.shape for vectors in scales])
        )
    total = np.zeros(scales[0].shape, dtype=np.float32)
    for vectors in scales:
        total += np.asarray(vectors, dtype=np.float32)
    return l2_normalised(total / np.float32(len(scales)))


def l2_normalised(vectors):
    """`vectors` float32 (n, d) divided by their length; Refusal naming the first row without a direction."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    without = np.flatnonzero(~(lengths > 0))
    if len(without):
        raise Refusal(
            "expected descriptors with a direction, found length {} in row {}; look at that picture".format(
                lengths[without[0]], without[0]
            )
        )
    return (vectors / lengths[:, None]).astype(np.float32)
