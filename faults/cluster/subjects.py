"""What is run on the cluster: `python -m faults.cluster.subjects NAME --cluster ADDRESS`, in a folder.

Each subject writes files below `out`; the last line printed is what the process measured, as JSON.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import signal
import time
from pathlib import Path

from encore.runtime.atomic import replacing
from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal
from encore.runtime.shard_map import add_cluster_flag, map_units
from encore.runtime.stage import run_stage

OUT = Path("out")
UNITS = 12
SECONDS = 0.3
"""That a unit of `slow` takes."""
SECONDS_OF_LONG = 300.0
MANY = 20_000
PICTURES = Path(__file__).resolve().parents[2] / "mini" / "photos.tar"


def write_units(worker, units=range(UNITS)):
    """Map `worker` over `units` and write each result, text, to a file from the unit's process."""
    OUT.mkdir(exist_ok=True)

    def make():
        def write(unit):
            with replacing(OUT / f"{unit}.txt", "w") as file:  # for all of the unit: a fault leaves it behind
                file.write(worker(unit))

        return write

    missing = [unit for unit in units if not (OUT / f"{unit}.txt").exists()]
    for _ in progress(map_units(make, missing, 1, folders=[OUT]), len(missing), "units"):
        pass


def slow():
    """Units that take a third of a second each."""

    def worker(unit):
        time.sleep(SECONDS)
        return str(unit * unit)

    write_units(worker)


def long():
    """Units that take minutes, but for the first three."""

    def worker(unit):
        time.sleep(SECONDS if unit < 3 else SECONDS_OF_LONG)
        return str(unit * unit)

    write_units(worker)


def broken():
    """The deliberately broken one: what it writes depends on the process."""
    write_units(lambda unit: str(os.getpid()))


def raises():
    """Unit 3 refuses."""

    def worker(unit):
        if unit == 3:
            raise Refusal("unit 3: expected a picture, found none: put it there")
        return str(unit)

    write_units(worker)


def errs():
    """Unit 3 has an error of ours, which is raised as itself."""

    def worker(unit):
        return str(1 // (unit - 3))

    try:
        write_units(worker)
    except ZeroDivisionError as error:
        raise Refusal(f"unit 3 raised {type(error).__name__}") from error


def dies():
    """Unit 3 kills its process each time."""

    def worker(unit):
        if unit == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return str(unit)

    write_units(worker)


def large():
    """Each unit returns 2 MB."""
    list(map_units(lambda: lambda unit: bytes(2_000_000), range(4), 1))


def tiny(units=MANY):
    """Many units with hardly any work -> resident bytes of this process after a tenth and at the end."""
    grown = {}
    for number, result in enumerate(map_units(lambda: lambda unit: unit * unit, range(units), 1)):
        if result != number * number:
            raise RuntimeError(f"unit {number}: {result}")
        if number + 1 in (units // 10, units):
            grown[number + 1] = resident()
    return {"units": units, "resident_early": grown[units // 10], "resident_late": grown[units]}


def blind():
    """The nodes do not have the folder that this process works in."""
    from encore.runtime import cluster_map

    job = cluster_map._job
    cluster_map._job = lambda *about: job(*about)._replace(directory=os.getcwd() + "-elsewhere")
    slow()


def other_code():
    """The nodes have another content of one file."""
    from encore.runtime import cluster_map

    job = cluster_map._job

    def altered(*about):
        made = job(*about)
        files = dict(made.code.files)
        files["encore.runtime.seeds"] = "0" * 64
        return made._replace(code=made.code._replace(files=files))

    cluster_map._job = altered
    slow()


def arithmetic():
    """Extraction, detection of neighbours, relabelling and recovery, each with a small network."""
    extraction()
    search()
    relabelling()
    recovery()


def extraction():
    """Descriptors of 64 pictures in chunks of 8, decoded by two processes beside."""
    from encore.data.image_source import open_source
    from encore.systems.isc.extraction import ExtractionRecipe, Extractor
    from encore.systems.isc.prepared_pictures import PictureReader, Preparation

    recipe = ExtractionRecipe((32,), 4, 2, None)
    OUT.mkdir(exist_ok=True)
    reader = PictureReader(workers=2)
    Extractor(QuarterSums(), recipe, reader).to_files(
        Some(open_source(f"{PICTURES}#training"), 64), Preparation(32), OUT / "pictures_32.hdf5"
    )


def search():
    """The best pairs and the nearest neighbours of 5,000 queries among 3,000 references."""
    import numpy as np

    from encore.search.spread_search import SpreadSearch

    generator = np.random.RandomState(0)
    queries, references = (generator.randn(rows, 32).astype(np.float32) for rows in (5000, 3000))
    searches = SpreadSearch(OUT / "search")
    pairs = searches.best_pairs(queries, references, 7000)
    np.savez(OUT / "pairs.npz", pairs.query, pairs.reference, pairs.score)
    np.savez(OUT / "nearest.npz", *searches.nearest(queries, references, 5))


def relabelling():
    """The labels of four epochs."""
    from encore.data.class_folders import ClassFolders
    from encore.systems.fkd.relabel import RelabelRecipe, relabel

    pictures = Path("classes")
    if not pictures.exists():
        class_folders(pictures)
    recipe = RelabelRecipe(seed=5, batch=8, epochs=4, size=32, workers=1)
    relabel(recipe, ClassFolders(pictures), QuarterSums(), str(OUT / "labels"), 12)


def recovery():
    """Pictures of six classes, in six batches."""
    from encore.systems.fkd.networks import NetworkShape, build
    from encore.systems.fkd.recover.recipe import RecoverRecipe
    from encore.systems.fkd.recover.recovery import recover

    shape = NetworkShape(classes=6, small_stem=True, width=4, layers=(1, 1, 1, 1))
    recipe = RecoverRecipe(
        seed=3, classes=6, images_per_class=3, batch=4, size=16, iterations=7, jitter=2, print_every=3
    )
    recover(recipe, build(shape, 0, 16), str(OUT / "recovered"), str(OUT / "records"))


def class_folders(folder):
    """Two folders of 12 pictures of the mini size."""
    from encore.data.image_source import open_source

    source = open_source(f"{PICTURES}#training")
    for number in range(24):
        place = folder / str(number % 2)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.jpg").write_bytes(source.read(number))


class Some:
    """The first `count` pictures of a source."""

    def __init__(self, source, count):
        self.source, self.names = source, source.names[:count]

    def __len__(self):
        return len(self.names)

    def read(self, i):
        return self.source.read(i)


@functools.lru_cache(None)
def _quarter_sums():
    import torch

    class Sums(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.linspace(0.5, 1.5, 12))

        def forward(self, pictures):
            return torch.nn.functional.adaptive_avg_pool2d(pictures, 2).flatten(1) * self.scale

        descriptor = forward

    return Sums


def QuarterSums():
    """A network that averages the quarters of each channel: (n, 3, s, s) to (n, 12)."""
    return _quarter_sums()()


def resident():
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


SUBJECTS = {
    subject.__name__: subject
    for subject in (slow, long, broken, raises, errs, dies, large, tiny, blind, other_code, arithmetic)
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("subject", choices=sorted(SUBJECTS))
    parser.add_argument("--units", type=int)
    add_cluster_flag(parser, maps=True)
    arguments = parser.parse_args()
    given = {} if arguments.units is None else {"units": arguments.units}
    measured = SUBJECTS[arguments.subject](**given) or {}
    if arguments.cluster != "local":
        from encore.runtime.cluster_map import traffic

        measured.update(results=traffic.results, bytes=traffic.bytes, largest=traffic.largest)
    print(json.dumps(measured))


if __name__ == "__main__":
    run_stage(main)
