"""The divided references as the published files, for who wants them (spec isc-track1-test 1.2).

Nothing here reads them: the extraction cuts parts on the fly.
"""

from __future__ import annotations

import os

from encore.data.images import RejectedImage, decode_image
from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal
from encore.runtime.shard_map import map_units
from encore.systems.isc_track1.reference_parts import PARTS, REFERENCE_FOLDER, part_file, part_name

SHARD = 50000
"""References that one number of the published script stands for."""
UNIT = 100


def shard(count, number, size=SHARD):
    """The positions of the published shard `number` of `count` references; Refusal for one without any."""
    if not 0 <= number * size < count:
        raise Refusal("shard {}: the {} references have {} shards".format(number, count, -(-count // size)))
    return range(number * size, min((number + 1) * size, count))


def export_parts(source, folder, positions, workers=1):
    """Write `reference_images_exp_<k>/<name>_<k>.jpg` below `folder` for the references at `positions`.

    Returns the number of references written; one whose 19 files are all there is left as it is, so that an
    interrupted run goes on. Refusal, naming the picture, where the published script stops.
    """
    for part in range(PARTS):
        os.makedirs(os.path.join(str(folder), REFERENCE_FOLDER.format(part)), exist_ok=True)
    units = [positions[start : start + UNIT] for start in range(0, len(positions), UNIT)]

    def make_worker():
        return lambda unit: sum(_export(source, folder, i) for i in unit)

    work = map_units(make_worker, units, workers, folders=[folder])
    return sum(progress(work, len(units), "hundreds of references"))


def _export(source, folder, i):
    """Write the parts of reference `i`; returns whether there was anything to write."""
    name = source.names[i]
    paths = [
        os.path.join(str(folder), REFERENCE_FOLDER.format(part), part_name(name, part))
        for part in range(PARTS)
    ]
    if all(map(os.path.exists, paths)):
        return False
    try:
        whole = decode_image(source.read(i))
        files = [part_file(whole, part) for part in range(PARTS)]
    except RejectedImage as rejected:
        raise Refusal("{}: {}: remove or replace it".format(name, rejected.reason)) from rejected
    for path, file in zip(paths, files):
        # Renamed into place but not synced: 19,000,000 syncs would take longer than all the rest.
        temporary = "{}.tmp-{}".format(path, os.getpid())
        with open(temporary, "wb") as opened:
            opened.write(file)
        os.replace(temporary, path)
    return True
