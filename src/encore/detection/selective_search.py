"""Selective search: the regions of a picture that may hold an object (spec isc-track1-test 1.1).

A graph-based segmentation is merged, the most similar pair of neighbouring regions first, until no two
regions are neighbours; every region met on the way counts. Behaviour and order are those of the package
selectivesearch 0.4, which the published test uses.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

VALUE_BINS = 25
TEXTURE_BINS = 2  # per channel: the codes 0 and 1, see `_describe`
PAIRS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Regions:
    """All regions of one picture: the segments in raster order, then the merged ones in order of merging.

    `boxes`: int64 (n, 4), the smallest and largest x and y that belong to the region: x0, y0, x1, y1, so that
    x1 - x0 is the width less one. `sizes`: int64 (n,), pixels. `parents`: int64 (n, 2), the two regions that
    a merged one is made of; -1 for a segment.
    """

    boxes: np.ndarray
    sizes: np.ndarray
    parents: np.ndarray

    def __len__(self):
        return len(self.sizes)

    def segments(self, i):
        """The numbers of the segments that region `i` is made of, in order of merging."""
        first, second = self.parents[i].tolist()
        return [i] if first < 0 else self.segments(first) + self.segments(second)


def selective_search(image, scale=500, sigma=0.9, min_size=10):
    """The Regions of `image`, uint8 (height, width, 3).

    scale, sigma, min_size: of the segmentation by Felzenszwalb and Huttenlocher, as scikit-image names them.
    Raises ValueError for another number of channels (published quirk: nothing is converted) or another type.
    """
    from skimage.segmentation import felzenszwalb
    from skimage.util import img_as_float

    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            "selective search needs uint8 (height, width, 3), found {} {}".format(image.dtype, image.shape)
        )
    segments = felzenszwalb(img_as_float(image), scale=scale, sigma=sigma, min_size=min_size)
    return _merged(*_describe(image, segments), pixels=segments.size)


def _describe(image, segments):
    """(boxes, sizes, histograms) of `segments`, labels int (height, width) from 0 in raster order.

    A histogram is [H, S, 25 bins of V] as shares of the region's pixels, then [code 0, code 1] of the three
    channels. Published quirks: colours are HSV of values 0 to 255, of which only V leaves the first of 25
    bins over 0..255, so H and S are always 1; texture is the histogram of local binary patterns (0..255) over
    10 bins of 0..1, so only the codes 0 and 1 count.
    """
    from scipy.ndimage import find_objects
    from skimage.feature import local_binary_pattern

    label, count = segments.ravel(), int(segments.max()) + 1
    sizes = np.bincount(label, minlength=count)
    boxes = np.array(
        [(x.start, y.start, x.stop - 1, y.stop - 1) for y, x in find_objects(segments + 1)], dtype=np.int64
    )
    value = value_bins(image.max(axis=2)).ravel()
    columns = [sizes[:, None], sizes[:, None]]
    columns.append(
        np.bincount(label * VALUE_BINS + value, minlength=count * VALUE_BINS).reshape(count, VALUE_BINS)
    )
    for channel in range(3):
        code = local_binary_pattern(np.ascontiguousarray(image[:, :, channel]), 8, 1.0).ravel()
        for wanted in range(TEXTURE_BINS):
            columns.append(np.bincount(label[code == wanted], minlength=count)[:, None])
    return boxes, sizes, np.concatenate(columns, axis=1) / sizes[:, None]


def value_bins(value):
    """The bin of each uint8 value among 25 equal bins over 0..255, the last one closed; int64."""
    return np.minimum(value.astype(np.int64) * VALUE_BINS // 255, VALUE_BINS - 1)


def neighbours(boxes):
    """The pairs (first, second), first < second, of neighbouring boxes, in lexicographic order: int64 (n, 2).

    Published quirk: two regions are neighbours when a corner of the second's box lies strictly inside the
    first's box; the other way round does not count.
    """
    x0, y0, x1, y1 = boxes.T
    rows = []
    for i in range(len(boxes) - 1):
        x_inside = [(x0[i] < x) & (x < x1[i]) for x in (x0[i + 1 :], x1[i + 1 :])]
        y_inside = [(y0[i] < y) & (y < y1[i]) for y in (y0[i + 1 :], y1[i + 1 :])]
        second = np.flatnonzero((x_inside[0] | x_inside[1]) & (y_inside[0] | y_inside[1])) + i + 1
        rows.append(np.stack([np.full(len(second), i), second], axis=1))
    return np.concatenate(rows) if rows else np.zeros((0, 2), dtype=np.int64)


def _merged(boxes, sizes, histograms, pixels):
    """All Regions from the segments' descriptions; `pixels`: of the picture."""
    table = _Table(boxes, sizes, histograms, pixels)
    pairs = neighbours(boxes)
    heap, incident = [], [[] for _ in range(len(sizes))]
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        first, second = pairs[start : start + PAIRS_AT_ONCE].T
        similarity = table.similarity(first, second)
        for edge, (s, i, j) in enumerate(zip(similarity.tolist(), first.tolist(), second.tolist()), start):
            heap.append((-s, -edge, i, j))
            incident[i].append((edge, j))
            incident[j].append((edge, i))
    heapq.heapify(heap)
    edge, alive = len(pairs), [True] * len(sizes)
    while heap:
        # The most similar pair; among equals the one that became a pair last (published: end of a stable
        # sort).
        _, _, i, j = heapq.heappop(heap)
        if not (alive[i] and alive[j]):
            continue
        alive[i] = alive[j] = False
        new = table.merge(i, j)
        others = list(dict.fromkeys(k for _, k in sorted(incident[i] + incident[j]) if alive[k]))
        incident[i] = incident[j] = None
        incident.append(list(enumerate(others, edge)))
        alive.append(True)
        if others:
            for s, k in zip(table.similarity(new, np.array(others)).tolist(), others):
                heapq.heappush(heap, (-s, -edge, new, k))
                incident[k].append((edge, new))
                edge += 1
    return table.regions()


class _Table:
    """Boxes, sizes and histograms of all regions, one row a region."""

    def __init__(self, boxes, sizes, histograms, pixels):
        self.pixels, self.count = pixels, len(sizes)
        self.boxes = _grown(boxes)
        self.sizes = _grown(sizes)
        self.histograms = _grown(histograms)
        self.parents = np.full((len(self.sizes), 2), -1, dtype=np.int64)

    def merge(self, i, j):
        """Append the union of rows i and j; returns its row."""
        new, boxes, sizes = self.count, self.boxes, self.sizes
        np.minimum(boxes[i, :2], boxes[j, :2], out=boxes[new, :2])
        np.maximum(boxes[i, 2:], boxes[j, 2:], out=boxes[new, 2:])
        sizes[new] = sizes[i] + sizes[j]
        self.histograms[new] = (self.histograms[i] * sizes[i] + self.histograms[j] * sizes[j]) / sizes[new]
        self.parents[new] = i, j
        self.count += 1
        return new

    def similarity(self, first, second):
        """Colour + texture + size + fill of row(s) `first` with each row of `second`: float64 (n,).

        Each sum runs from left to right, so that equal regions tie and others do not, as published.
        """
        common = np.minimum(self.histograms[first], self.histograms[second])
        colour = np.add.accumulate(common[:, : 2 + VALUE_BINS], axis=1)[:, -1]
        texture = np.add.accumulate(common[:, 2 + VALUE_BINS :], axis=1)[:, -1]
        size = self.sizes[first] + self.sizes[second]
        span = np.maximum(self.boxes[first, ..., 2:], self.boxes[second, 2:]) - np.minimum(
            self.boxes[first, ..., :2], self.boxes[second, :2]
        )
        fill = span[:, 0] * span[:, 1] - size
        return colour + texture + (1.0 - size / self.pixels) + (1.0 - fill / self.pixels)

    def regions(self):
        n = self.count
        return Regions(self.boxes[:n].copy(), self.sizes[:n].copy(), self.parents[:n].copy())


def _grown(rows):
    """`rows` with room for as many merged regions as there can be."""
    grown = np.zeros((max(2 * len(rows) - 1, 1),) + rows.shape[1:], dtype=rows.dtype)
    grown[: len(rows)] = rows
    return grown
