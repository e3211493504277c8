"""A strip of generated copies for some classes: what the network is trained to recognise."""

from __future__ import annotations

from dataclasses import dataclass

from checks.report.ingredients import need
from checks.report.thumbnails import thumbnail
from encore.data.shards import ShardSet

SIDE = 96


@dataclass(frozen=True)
class Strip:
    """One class: its number and the data URIs of its copies in order; copy 0 is the source picture."""

    class_id: int
    pictures: list[str]


def copy_strips(folder, classes=4):
    """Strips of `classes` classes spread evenly over the training set of a size."""
    need(folder, "data/isc_100k_256/manifest.json")
    shards = ShardSet(f"{folder}/data/isc_100k_256")
    present = sorted({int(label) for label in shards.labels})
    chosen = [present[i * len(present) // classes] for i in range(min(classes, len(present)))]
    strips = []
    for class_id in chosen:
        copies = sorted(
            (int(shards.names[i].partition(".")[0].partition("_")[2]), i)
            for i in (shards.labels == class_id).nonzero()[0].tolist()
        )
        strips.append(Strip(class_id, [thumbnail(shards.read(i), SIDE) for _, i in copies]))
    return strips
