"""Average precision of detections at a given overlap (Pascal VOC from 2010 on: all-point interpolation)."""

from __future__ import annotations

import numpy as np


def average_precisions(truth, found, classes, overlap=0.5):
    """Class -> average precision in 0 to 1, for each of `classes` that has a true box.

    truth: for each picture a float array (m, 5), x1, y1, x2, y2, class. found: for each picture a float array
    (n, 6), x1, y1, x2, y2, confidence, class. Over all pictures, by falling confidence (among equal ones in
    the order of pictures and rows), a detection is right when the true box of its class that it overlaps most
    does so by `overlap` at least (intersection over union) and was not taken by one before it. The area under
    precision over recall, where the precision at a recall is the best at that or any higher recall.
    """
    result = {}
    for kind in classes:
        total = sum(np.count_nonzero(rows[:, 4] == kind) for rows in truth)
        if total:
            result[kind] = _area(judged(truth, found, kind, overlap)[1], total)
    return result


def judged(truth, found, kind, overlap=0.5):
    """(picture int (n,), right bool (n,)) of the detections of the class `kind`, by falling confidence;
    arguments as `average_precisions`."""
    boxes = [rows[rows[:, 4] == kind, :4] for rows in truth]
    return _right(boxes, [rows[rows[:, 5] == kind] for rows in found], overlap)


def overlaps(boxes, others):
    """Intersection over union of boxes (n, 4) and others (m, 4): float64 (n, m), 0 for boxes without area."""
    boxes, others = (np.asarray(rows, dtype=np.float64).reshape(-1, 4) for rows in (boxes, others))
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)[:, None]
    union = area + np.prod(others[:, 2:] - others[:, :2], axis=1)[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _right(boxes, found, overlap):
    """(picture, whether it is right) of each detection, by falling confidence."""
    pictures = np.concatenate([np.full(len(rows), i) for i, rows in enumerate(found)] or [[]]).astype(int)
    rows = np.concatenate([np.asarray(rows, dtype=np.float64).reshape(-1, 6) for rows in found])
    taken = [np.zeros(len(true), dtype=bool) for true in boxes]
    right = np.zeros(len(rows), dtype=bool)
    order = np.argsort(-rows[:, 4], kind="mergesort")
    for place, number in enumerate(order):
        picture = pictures[number]
        if not len(boxes[picture]):
            continue
        shares = overlaps(rows[number, :4], boxes[picture])[0]
        best = int(np.argmax(shares))
        if shares[best] >= overlap and not taken[picture][best]:
            taken[picture][best] = right[place] = True
    return pictures[order], right


def _area(right, total):
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[right].sum() / total)
