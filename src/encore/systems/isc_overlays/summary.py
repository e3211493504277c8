"""How much a detector found."""

from __future__ import annotations

from dataclasses import dataclass

from encore.detection.detections import OVERLAY


@dataclass(frozen=True)
class Found:
    """Counts over a set of queries."""

    queries: int
    with_overlay: int
    """Queries with an Overlay at least."""
    detections: int
    """Boxes of both classes."""


def count_found(detections):
    """The counts of `Detections`, whose names are all queries."""
    rows = [detections.of(name) for name in detections.names]
    return Found(
        queries=len(rows),
        with_overlay=sum(bool((row[:, 5] == OVERLAY).any()) for row in rows),
        detections=sum(map(len, rows)),
    )
