"""Strips of generated copies: what the networks are trained to recognise."""

from __future__ import annotations

from dataclasses import dataclass

from checks.report.ingredients import Missing, need
from checks.report.thumbnails import thumbnail
from encore.data.shards import ShardSet

SIDE = 96
MOST = 20
"""Copies of a class that are shown: all of a published one."""


@dataclass(frozen=True)
class Strip:
    """One class of a data set: its number and the data URIs of its copies in order; copy 0 is the source
    picture."""

    class_id: int
    pictures: list[str]
    dataset: str = ""


def copy_strips(folder, classes=4):
    """Strips of `classes` classes spread evenly over the training set of a size."""
    need(folder, "data/isc_100k_256/manifest.json")
    shards = ShardSet(f"{folder}/data/isc_100k_256")
    present = sorted({int(label) for label in shards.labels})
    chosen = [present[i * len(present) // classes] for i in range(min(classes, len(present)))]
    return [Strip(class_id, _pictures(shards, class_id)) for class_id in chosen]


def data_set_strips(folder, place="data/isc_track1/training"):
    """A Strip of each data set below `place`, by name: how each of them changes the first class of the
    first."""
    sets = sorted(path.parent for path in need(folder, place).glob("*/manifest.json"))
    if not sets:
        raise Missing(f"{place} holds no data set yet")
    opened = {path.name: ShardSet(str(path)) for path in sets}
    class_id = min(int(label) for label in next(iter(opened.values())).labels)
    return [Strip(class_id, _pictures(shards, class_id), name) for name, shards in opened.items()]


def _pictures(shards, class_id):
    """Data URIs of the copies of one class in the order of their numbers."""
    copies = sorted(
        (int(shards.names[i].partition(".")[0].partition("_")[2]), i)
        for i in (shards.labels == class_id).nonzero()[0].tolist()
    )
    return [thumbnail(shards.read(i), SIDE) for _, i in copies[:MOST]]
