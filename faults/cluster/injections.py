"""Each fault of the suite `cluster`: a run in one process, one on the cluster, and how they differ."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from faults.cluster.loopback import none_within, strays
from faults.fault import Row

SUITE = "cluster"
ROOT = Path(__file__).resolve().parents[2]
SECONDS = 180.0
"""A run that takes longer hangs."""
SECONDS_OF_MANY = 600.0
"""For many tiny units, on a machine that does other things."""
MOST_GROWTH = 24 << 20
"""Bytes that a process may grow from a tenth of many tiny units to all: the allocator's, not units."""
MOST_BYTES_A_UNIT = 2048
"""That come back from a unit which writes its result to a file."""
MOMENTS = 10
"""Runs ended by Ctrl-C: a race with the answers of units was lost by one of fourteen."""
KILLS = 5
"""Of nodes whose units have processes of their own: one that is left behind can keep the run waiting."""
STRAY_SECONDS = 10.0
LATEST = 0.5
"""Seconds between a unit's first result and Ctrl-C, at most."""
IN_WORK = "encore: interrupted: waiting for what is in work"
AGAIN = "encore: interrupted; run the same command again to go on"
"""What a run says that Ctrl-C ends; the first only while it waits for results."""
GENERATE = "isc_track2.generate"
MAP = "a map of units"
ARITHMETIC = "extraction, search, relabel, recover"


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit status, stdout and stderr."""

    status: int
    out: str
    err: str

    @property
    def measured(self):
        """What the subject measured."""
        return json.loads(self.out.strip().splitlines()[-1])

    def refusal_problems(self, *words):
        """What is wrong with a run that must end with one line on stderr that holds `words`."""
        lines = [line for line in self.err.splitlines() if line.startswith("encore: ")]
        if self.status != 2 or "Traceback" in self.err:
            return [f"expected one line and exit status 2, found {self.status}: {self.err[-300:]!r}"]
        if len(lines) != 1 or any(word not in lines[0] for word in words):
            return [f"expected one line with {', '.join(words)}, found {lines}"]
        return []


class Injections:
    """The faults, each in a folder of its own below `folder`, on a LoopbackCluster."""

    def __init__(self, cluster, folder):
        self.cluster, self.folder, self.moments = cluster, folder, random.Random(0)

    def short(self):
        """Yield the Rows of two kinds."""
        yield self.row(MAP, "node killed", lambda: self.faulty("slow", self.cluster.kill_busy_node))
        yield self.row(GENERATE, "same digest on 3 nodes", lambda: self.same_generation(copies=3))

    def full(self):
        """Yield the Rows of every kind."""
        yield self.row(GENERATE, "same digest on 3 nodes", self.same_generation)
        yield self.row(GENERATE, "node killed", lambda: self.faulty_generation(self.kill_node))
        yield self.row(GENERATE, "driver killed", self.generation_started_again)
        yield self.row(GENERATE, "begun here, killed", lambda: self.generation_started_again(here=True))
        yield self.row(ARITHMETIC, "same digest on 3 nodes", lambda: self.same("arithmetic"))
        yield self.row(
            ARITHMETIC, "node killed", lambda: self.faulty("arithmetic", self.kill_node), times=KILLS
        )
        yield self.row(MAP, "node killed", lambda: self.faulty("slow", self.kill_node))
        yield self.row(MAP, "worker killed", lambda: self.faulty("slow", self.kill_worker))
        yield self.row(MAP, "driver killed", lambda: self.started_again("slow"))
        yield self.row(MAP, "interrupted", lambda: self.interrupted("slow"), times=MOMENTS)
        yield self.row(MAP, "interrupted, long units", lambda: self.interrupted("long"))
        yield self.row(MAP, "unit raises", lambda: self.refused("raises", "unit 3: expected a picture"))
        yield self.row(MAP, "unit has an error", lambda: self.refused("errs", "ZeroDivisionError"))
        yield self.row(
            MAP, "unit kills its process", lambda: self.refused("dies", "unit 4 of 12", "11 times")
        )
        yield self.row(MAP, "large result", lambda: self.refused("large", "2000", "write it to a file"))
        yield self.row(MAP, "blind nodes", lambda: self.refused("blind", "does not see", "node "))
        yield self.row(
            MAP, "other code on the nodes", lambda: self.refused("other_code", "seeds.py", "node ")
        )
        yield self.flat_memory()

    def row(self, place, kind, inject, times=1):
        """A kind of fault, injected `times`; inject: -> the problems found, texts."""
        began, survived, problems = time.monotonic(), 0, []
        for _ in range(times):
            found = inject()
            if not self.cluster.idle():
                found = [*found, "units go on on the cluster after the end"]
            if not none_within(strays, STRAY_SECONDS):
                found = [*found, "processes outlive those of units that started them"]
            survived += not found
            problems += found
        return Row(SUITE, place, kind, times, survived, time.monotonic() - began, joined(problems))

    # what is run

    def start(self, subject, folder, address=None):
        """A run of a subject in `folder`, on the cluster at `address` or in one process."""
        place = ["--cluster", address or "local"]
        return self.popen(["-m", "faults.cluster.subjects", subject, *place], folder)

    def start_generation(self, folder, address=None):
        """A run of the stage isc_track2.generate in `folder`."""
        return self.popen(["-m", "stages.isc_track2.generate", "--cluster", address or "local"], folder)

    def popen(self, arguments, folder):
        path = os.pathsep.join(map(str, (ROOT, ROOT / "src", ROOT / "tests")))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ENCORE_")}
        environment.update(PYTHONPATH=path, OMP_NUM_THREADS="1")
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A program that starts with Ctrl-C ignored (a suite in the background) could not be interrupted.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def new_folder(self, name):
        folder = self.folder / f"{len(list(self.folder.iterdir()))}-{name}"
        folder.mkdir()
        return folder

    # what is injected

    def kill_node(self):
        """A node that does a unit ends, and another takes its place -> whether there was one."""
        killed = self.cluster.kill_busy_node()
        if killed:
            self.cluster.add()
        return killed

    def kill_worker(self):
        """A process of a unit ends -> whether there was one."""
        for pid in self.cluster.units()[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    # what is found

    def same(self, subject):
        return self.faulty(subject, None)

    def same_generation(self, copies=8):
        return self.faulty_generation(None, copies)

    def faulty(self, subject, inject):
        """Problems of a run of `subject` on the cluster during which `inject` is called."""
        return self.compared(lambda folder, address=None: self.start(subject, folder, address), inject, "out")

    def faulty_generation(self, inject, copies=8):
        """Problems of a run of the stage on the cluster during which `inject` is called."""
        return self.compared(
            self.start_generation, inject, "data", lambda folder: generation_folder(folder, copies)
        )

    def compared(self, start, inject, output, make=lambda folder: None):
        here, there = self.new_folder("here"), self.new_folder("there")
        make(here)
        make(there)
        alone = finish(start(here))
        if alone.status:
            return [f"the run in one process ended with {alone.status}: {alone.err[-300:]!r}"]
        run = start(there, self.cluster.address)
        problems = []
        if inject is not None:
            problems = self.in_the_middle(run, there, inject)
        ended = finish(run)
        return [*problems, *run_problems(ended), *unlike(here / output, there / output), *leftovers(there)]

    def in_the_middle(self, run, folder, inject, units=True):
        """Call `inject` when a result is there and, for `units`, one is under way there; again where it says
        that it came too late (False) -> problems."""
        end = time.monotonic() + SECONDS
        while run.poll() is None and time.monotonic() < end:
            if any_result(folder) and (not units or self.cluster.units()) and inject() is not False:
                return []
            time.sleep(0.02)
        return ["the run ended before the fault"]

    def generation_started_again(self, here=False):
        return self.again(self.start_generation, "data", generation_folder, here)

    def started_again(self, subject):
        return self.again(lambda folder, address=None: self.start(subject, folder, address), "out")

    def again(self, start, output, make=lambda folder: None, begun_here=False):
        """Problems of a run whose process is killed in the middle, and of the same command afterwards; the
        first may run here, without the cluster."""
        here, there = self.new_folder("here"), self.new_folder("there")
        make(here)
        make(there)
        finish(start(here))
        run = start(there, None if begun_here else self.cluster.address)
        problems = self.in_the_middle(run, there, run.kill, not begun_here)
        finish(run)
        if not self.cluster.idle():
            problems.append("units of the killed process go on")
        kept = {path: path.stat().st_mtime_ns for path in results(there)}
        if not kept:
            problems.append("no result outlived the kill")
        second = start(there, self.cluster.address)
        seen = self.watched(second, kept)
        ended = finish(second)
        problems += [f"{path} was made again" for path in seen]
        return [*problems, *run_problems(ended), *unlike(here / output, there / output), *leftovers(there)]

    def watched(self, run, kept):
        """Those of the files `kept` {path: time of change} that change while `run` goes."""
        changed = set()
        while run.poll() is None:
            for path, time_ns in kept.items():
                try:
                    if path.stat().st_mtime_ns != time_ns:
                        changed.add(path.name)
                except FileNotFoundError:  # published: the folder is renamed
                    continue
            time.sleep(0.1)
        return sorted(changed)

    def interrupted(self, subject):
        """Problems of a run that Ctrl-C ends."""
        folder = self.new_folder("interrupted")
        run = self.start(subject, folder, self.cluster.address)

        def interrupt():
            time.sleep(self.moments.uniform(0, LATEST))
            run.send_signal(signal.SIGINT)

        problems = self.in_the_middle(run, folder, interrupt)
        ended = finish(run)
        lines = [line for line in ended.err.splitlines() if line.startswith("encore: ")]
        expected = [line for line in (IN_WORK, AGAIN) if line in lines]
        if ended.status != 130 or "Traceback" in ended.err or lines != expected or AGAIN not in lines:
            problems.append(
                f"expected what to do and exit status 130, found {ended.status}: {ended.err[-300:]!r}"
            )
        return [*problems, *leftovers(folder)]

    def refused(self, subject, *words):
        """Problems of a run that must be refused with `words`."""
        folder = self.new_folder(subject)
        ended = finish(self.start(subject, folder, self.cluster.address))
        return [*ended.refusal_problems(*words), *leftovers(folder)]

    def flat_memory(self, units=None):
        """The Row of many tiny units."""
        began, folder = time.monotonic(), self.new_folder("tiny")
        arguments = ["-m", "faults.cluster.subjects", "tiny", "--cluster", self.cluster.address]
        if units is not None:
            arguments += ["--units", str(units)]
        ended = finish(self.popen(arguments, folder), SECONDS_OF_MANY)
        problems, figures = run_problems(ended), ()
        if not problems:
            found = ended.measured
            growth = found["resident_late"] - found["resident_early"]
            if growth > MOST_GROWTH:
                problems.append(f"the process grew by {growth} bytes over {found['units']} units")
            if found["largest"] > MOST_BYTES_A_UNIT:
                problems.append(f"a unit sent {found['largest']} bytes back")
            figures = tuple((key, float(value)) for key, value in found.items()) + (
                ("growth", float(growth)),
            )
        seconds = time.monotonic() - began
        return Row(
            SUITE, MAP, "flat memory", 1, int(not problems), seconds, joined(problems), figures=figures
        )


def generation_folder(folder, copies=8):
    """Make `folder` one where isc_track2.generate runs: 24 classes of mini's pictures, in 12 shards."""
    parameters = yaml.safe_load((ROOT / "mini" / "params.yaml").read_text(encoding="utf-8"))
    generate = parameters["isc_track2"]["generate"]
    generate.update(every=8, copies=copies, classes_per_shard=2, workers=1)
    (folder / "params.yaml").write_text(
        yaml.safe_dump({"isc_track2": {"generate": generate}}), encoding="utf-8"
    )
    (folder / "photos.tar").symlink_to(ROOT / "mini" / "photos.tar")
    (folder / "inputs").mkdir()
    for name in ("training_images", "foreign_images"):
        (folder / "inputs" / f"{name}.json").write_text("{}", encoding="utf-8")


def finish(run, seconds=SECONDS):
    """Wait for a started run -> Ended; one that hangs is killed."""
    try:
        out, err = run.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        run.kill()
        out, err = run.communicate()
        err += f"\nhung for {seconds:.0f} s"
    return Ended(run.returncode, out, err)


def run_problems(ended):
    """What is wrong with a run that should have ended well."""
    if ended.status:
        return [f"ended with status {ended.status}: {ended.err.strip()[-400:]!r}"]
    return []


def any_result(folder):
    return next(iter(results(folder)), None) is not None


def results(folder):
    """Finished units in `folder`: text files of a map, chunks, records of shards and of batches."""
    for pattern in ("out/*.txt", "out/*_32.hdf5", ".work/*/*/shard-*.done.json"):
        yield from folder.glob(pattern)


def unlike(expected, found):
    """How the files below `found` differ from those below `expected`."""
    expected, found = digests(expected), digests(found)
    if not expected:
        return ["the run in one process has no output"]
    missing, more = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    changed = sorted(name for name in expected.keys() & found.keys() if expected[name] != found[name])
    problems = [f"{name} is missing" for name in missing] + [f"{name} is too many" for name in more]
    return problems + [f"{name} differs" for name in changed]


def digests(folder):
    """{path below `folder`: SHA-256} of all its files."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def leftovers(folder):
    """Temporary files and folders of jobs that are still there."""
    found = [path for path in folder.rglob("*.tmp-*") if path.is_file()]
    found += [path for path in folder.glob(".work/cluster/*")]
    return [f"{path.relative_to(folder)} is left" for path in found]


def joined(problems):
    """The problems of one fault as its one line."""
    return ("; ".join(problems[:4]),) if problems else ()
