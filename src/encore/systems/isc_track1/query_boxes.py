"""Boxes that depend on a picture's size alone: those of the query crops 4 to 8 (spec isc-track1-test 1.1).

A box is (left, upper, right, lower) in pixels, right and lower not included; products are floats, cut off to
whole pixels.
"""

from __future__ import annotations

FIRST_PROPOSAL, FIRST_DETECTION = 10, 1000
"""Suffixes from which proposals of selective search, and detections, are numbered."""


def centre_box(width, height):
    """The middle half of both sides."""
    return int(0.25 * width), int(0.25 * height), int(0.75 * width), int(0.75 * height)


def overlap_boxes(width, height):
    """The boxes between the lines at 1/6, 3/6 and 5/6: upper left, upper right, lower left, lower right."""
    x, y = ([int(side * sixths / 6) for sixths in (1, 3, 5)] for side in (width, height))
    return [(x[i], y[j], x[i + 1], y[j + 1]) for j in (0, 1) for i in (0, 1)]


def query_boxes(width, height):
    """{suffix: box} of the query crops 4 to 8."""
    return dict(enumerate([centre_box(width, height)] + overlap_boxes(width, height), 4))
