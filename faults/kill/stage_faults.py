"""All faults of one stage, as rows."""

from __future__ import annotations

import contextlib
import random
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import yaml

from faults.fault import Row
from faults.kill import alone, mounts
from faults.kill.alone import Bench, NotReached
from faults.kill.chain import inject_all
from faults.kill.injection import (
    CLOCK,
    DISK_FULL_TMPFS,
    DRAWN,
    READ_ONLY_MOUNT,
    SHARED_FULL,
    TWO_RUNS,
    WORKER,
    drawn,
)
from faults.kill.place import Place
from faults.kill.stage_runs import StageRuns

SUITE = "kill"
WITH_WORKERS = "params-workers.yaml"
WORKERS = ("workers", "num_preprocess_workers")
ON_DISK = "disk"
DISK_BYTES = 96 << 20
ATTEMPTS = 4
"""For each that is wanted: not every run reaches the point at which it is hit."""
COUNTS = {WORKER: 2, CLOCK: 2, DISK_FULL_TMPFS: 2, SHARED_FULL: 2, READ_ONLY_MOUNT: 1, TWO_RUNS: 1}
"""How many of each are injected into a stage."""
SPARES = 6
"""Of each kind at one point of a run: drawn for those that hit nothing, as the removal of what is gone."""
NUMBERS = sum(DRAWN.values()) + SPARES * len(DRAWN)
"""How many faults at one point of a run there are; they are numbered from 0."""
SHORT = 2
"""Of each kind at one point of a run, at most, in `make test`; one of each other kind."""


@dataclass(frozen=True)
class Lane:
    """Where one chain after the other works: a folder, and what the machine does not allow there ("":
    mounts are)."""

    folder: Path
    no_mounts: str = ""

    def place(self, planned, reference, folder="place"):
        """The Place of a stage, made anew."""
        temporary = self.folder / "temporary"
        temporary.mkdir(parents=True, exist_ok=True)
        shared = () if self.no_mounts else (alone.SHARED_MEMORY,)
        place = Place(planned, reference, self.folder / folder, temporary, shared)
        place.make()
        return place


class StageFaults:
    """Injects every kind of fault into the stage `planned` of the finished size `reference`."""

    def __init__(self, lane, planned, reference, seed=0, full=True):
        self.lane, self.planned, self.reference, self.full = lane, planned, reference, full
        self.rng = random.Random(zlib.crc32(f"{planned.name} {seed}".encode()))
        self.seed = seed
        self.bench = self._bench(lane.place(planned, reference))

    def rows(self, number=None):
        """Yield a Row for each kind that this stage can meet; number: only of that fault at one point of a
        run."""
        injections, spares = self.injections()
        if number is not None:
            yield from self._chains([(injections + spares)[number]])
            return
        yield from self._chains(injections, spares)
        yield self._row(CLOCK, self.bench, alone.jump_clock)
        yield self._row(TWO_RUNS, self.bench, alone.run_twice)
        if not self.lane.no_mounts:
            self._bring_a_disk()
        yield self._row(DISK_FULL_TMPFS, self._on_disk, alone.fill_disk, self.lane.no_mounts)
        yield self._row(READ_ONLY_MOUNT, self.bench, alone.mount_read_only, self.lane.no_mounts)
        yield from self._of_workers()

    def injections(self):
        """(the faults at one point of a run, some in place of those that no run notices), numbered; the same
        for the same seed."""
        wanted = {kind: count if self.full else min(count, SHORT) for kind, count in DRAWN.items()}
        rng = random.Random(zlib.crc32(f"points of {self.planned.name} {self.seed}".encode()))
        run = rng, self.bench.seen, self.bench.seconds
        chosen = drawn(*run, wanted)
        return chosen, drawn(*run, dict.fromkeys(wanted, SPARES), len(chosen))

    def _chains(self, injections, spares=()):
        began = time.perf_counter()
        found = inject_all(self.bench.runs, injections)
        for spare in spares:
            if _count(found, spare.kind) < _count(injections, spare.kind):
                found.update(inject_all(self.bench.runs, [spare]))
        seconds = (time.perf_counter() - began) / max(len(found), 1)
        for kind in dict.fromkeys(injection.kind for injection in injections):
            rows = {injection: texts for injection, texts in found.items() if injection.kind == kind}
            losses = [
                self._loss(f"{one.text}: {'; '.join(texts)}", one.number)
                for one, texts in rows.items()
                if texts
            ]
            yield self._made(kind, len(rows), losses, seconds * len(rows), _count(injections, kind))

    def _of_workers(self):
        bench = self._with_workers()
        if bench is None:
            return
        yield self._row(WORKER, bench, alone.kill_worker)
        yield self._row(SHARED_FULL, bench, alone.fill_shared_memory, self.lane.no_mounts)

    def _with_workers(self):
        """The Bench whose runs have worker processes; None where the stage has none."""
        if not (self.bench.place.folder / "params.yaml").exists() or self.planned.system == "checks":
            return None
        values = yaml.safe_load((self.bench.place.folder / "params.yaml").read_text(encoding="utf-8"))
        path = self.bench.place.folder / WITH_WORKERS
        path.write_text(yaml.safe_dump(with_workers(values), sort_keys=False), encoding="utf-8")
        self.bench.place.give()
        bench = self._bench(self.bench.place, ("--params", WITH_WORKERS))
        return bench if any(row.event.what == "fork" for row in bench.seen) else None

    def _bring_a_disk(self):
        disk = self.lane.folder / ON_DISK
        disk.mkdir(exist_ok=True)
        if not disk.is_mount():
            mounts.mount_memory(disk, DISK_BYTES)
        runs = StageRuns(self.lane.place(self.planned, self.reference, f"{ON_DISK}/place"))
        self._on_disk = Bench(runs, self.bench.seen, self.bench.seconds, self.rng)

    _on_disk = None

    def _bench(self, place, arguments=()):
        runs = StageRuns(place, arguments)
        place.begin_again()
        return Bench(runs, *runs.recorded(), self.rng)

    def _row(self, kind, bench, inject, no_mounts=""):
        if no_mounts:
            return Row(SUITE, self.planned.name, kind, 0, 0, 0.0, skipped=no_mounts)
        began, injected, losses = time.perf_counter(), 0, []
        wanted = COUNTS[kind] if self.full else 1
        for _ in range(wanted * ATTEMPTS):
            with contextlib.suppress(NotReached):
                texts = inject(bench)
                losses += [self._loss("; ".join(texts), injected)] if texts else []
                injected += 1
            if injected == wanted:
                break
        return self._made(kind, injected, losses, time.perf_counter() - began, wanted)

    def _loss(self, text, number):
        return f"seed {self.seed}, number {number}: {text}"

    def _made(self, kind, injected, losses, seconds, wanted):
        counts = injected, injected - len(losses), seconds, tuple(losses)
        skipped = "" if injected else "no run came to it"
        figures = (("wanted", float(wanted)),) if injected < wanted else ()
        return Row(SUITE, self.planned.name, kind, *counts, skipped, figures)


def _count(injections, kind):
    return sum(injection.kind == kind for injection in injections)


def with_workers(values):
    """The same parameters with two loader processes wherever there are none."""
    if isinstance(values, dict):
        return {
            key: 2 if key in WORKERS and value == 0 else with_workers(value) for key, value in values.items()
        }
    return [with_workers(value) for value in values] if isinstance(values, list) else values
