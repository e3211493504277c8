"""Writing a data set shard by shard: any number of workers, resumable, whole or not at all."""

from __future__ import annotations

import dataclasses
import glob
import json
import os

from encore.data.manifest import ShardEntry
from encore.data.shards import ShardWriter, write_manifest
from encore.runtime.atomic import write_json
from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal
from encore.runtime.shard_map import map_units

REJECTED = "rejected.json"


@dataclasses.dataclass(frozen=True)
class Rejected:
    """A source picture that could not be used, and why."""

    name: str
    reason: str


def write_data_set(folder, units, make_worker, workers, recipe_digest, max_rejected, what):
    """Write one shard for each of `units` into `folder`, then manifest.json and rejected.json.

    `make_worker()` is called once a process and returns a function that maps a unit to an iterable of
    (name, bytes, label) and `Rejected`. A shard that an earlier, killed run finished is kept. Raises Refusal
    when more than `max_rejected` pictures were rejected, naming the first. Returns the Manifest.
    """
    units = list(units)
    done = {number: _finished(folder, number) for number in range(len(units))}
    missing = [number for number in range(len(units)) if done[number] is None]

    def make_shard_worker():
        worker = make_worker()
        return lambda number: _write_shard(folder, number, worker(units[number]))

    for number, entry in zip(
        missing,
        progress(map_units(make_shard_worker, missing, workers, folders=[folder]), len(missing), what),
    ):
        done[number] = entry
    entries = [ShardEntry(**done[number]["entry"]) for number in range(len(units))]
    rejected = [row for number in range(len(units)) for row in done[number]["rejected"]]
    write_json(os.path.join(str(folder), REJECTED), rejected)
    if len(rejected) > max_rejected:
        raise Refusal(
            "{} of the source pictures cannot be used (allowed: {}); the first is {}: {}; all are in {}: "
            "mend or remove them, or raise max_rejected".format(
                len(rejected),
                max_rejected,
                rejected[0]["name"],
                rejected[0]["reason"],
                os.path.join(str(folder), REJECTED),
            )
        )
    manifest = write_manifest(folder, entries, recipe_digest)
    remove_records(folder)
    return manifest


def remove_records(folder):
    """Remove what says of each shard that it is finished: of a set with a manifest, which a killed run may
    have left."""
    for path in glob.glob(os.path.join(str(folder), "shard-*.done.json")):
        os.unlink(path)


def _write_shard(folder, number, images):
    writer, rejected = ShardWriter(folder, number), []
    for image in images:
        if isinstance(image, Rejected):
            rejected.append(dataclasses.asdict(image))
        else:
            writer.add(*image)
    done = {"entry": dataclasses.asdict(writer.close()), "rejected": rejected}
    write_json(_record(folder, number), done)
    return done


def _finished(folder, number):
    """What an earlier run recorded of this shard, if its files are whole."""
    try:
        with open(_record(folder, number), encoding="utf-8") as file:
            done = json.load(file)
        size = os.path.getsize(os.path.join(str(folder), done["entry"]["name"] + ".tar"))
    except FileNotFoundError:
        return None
    # A shard with rejected pictures is made again: they may have been mended since.
    return done if size == done["entry"]["bytes"] and not done["rejected"] else None


def _record(folder, number):
    return os.path.join(str(folder), "shard-{:05d}.done.json".format(number))
