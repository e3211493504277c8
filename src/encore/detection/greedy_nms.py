"""Greedy suppression of boxes that overlap one already kept (spec isc-track1-test 1.1)."""

from __future__ import annotations

import numpy as np


def greedy_nms(boxes, order, overlap):
    """The rows of `boxes` that are kept, in order of keeping: a list of int.

    boxes: int (n, 4), x0, y0, x1, y1. order: the rows from best to worst. A box is kept unless its
    intersection over union with a box kept before is above `overlap`. Published quirk: sides are counted with
    one pixel more, although the boxes' ends do not belong to them.
    """
    x0, y0, x1, y1 = np.asarray(boxes).reshape(-1, 4).T
    areas = (x1 - x0 + 1) * (y1 - y0 + 1)
    kept, rest = [], np.asarray(order, dtype=np.int64)
    while len(rest):
        best, rest = rest[0], rest[1:]
        kept.append(int(best))
        width = np.minimum(x1[best], x1[rest]) - np.maximum(x0[best], x0[rest]) + 1
        height = np.minimum(y1[best], y1[rest]) - np.maximum(y0[best], y0[rest]) + 1
        common = np.maximum(width, 0) * np.maximum(height, 0)
        rest = rest[common / (areas[best] + areas[rest] - common) <= overlap]
    return kept
