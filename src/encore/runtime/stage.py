"""What every stage does around its own work: work folder, lock, outputs renamed into place, records."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import shutil
import sys

from encore.runtime import environment, hardware, outside_fault
from encore.runtime.atomic import file_digest, sync_folder, write_json
from encore.runtime.fingerprint import LIBRARIES, Clock, fingerprint
from encore.runtime.parameters import read_parameters
from encore.runtime.process_end import call_and_end
from encore.runtime.refusal import Refusal
from encore.runtime.shard_map import add_cluster_flag
from encore.runtime.shared_memory import own_semaphores, shared_memory
from encore.runtime.temporary_files import own_temporaries

DISCARDED = ".discarded"
"""End of the name of a work folder that is being removed."""


def stage_parser(description, maps=False):
    """The command line every stage has: `--params FILE` (default params.yaml in the working directory) and
    `--accept-hardware`; and, where the stage `maps` units (`shard_map.map_units`), `--cluster ADDRESS`, which
    others refuse."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument(
        "--params",
        default="params.yaml",
        metavar="FILE",
        help="parameter file (default: params.yaml in the working directory)",
    )
    add_cluster_flag(parser, maps)
    parser.add_argument(
        "--accept-hardware",
        action=_AcceptHardware,
        nargs=0,
        help="run on a GPU that the hardware rule refuses, and say so in the verdict (as does {}=1)".format(
            hardware.ACCEPT
        ),
    )
    return parser


class _AcceptHardware(argparse.Action):
    """Sets the variable for this process and those it starts: where dvc starts a stage there is no flag."""

    def __call__(self, parser, namespace, values, option_string=None):
        os.environ[hardware.ACCEPT] = "1"


def run_stage(main):
    """Run `main()`; a Refusal, or a fault of the machine such as a full disk (`outside_fault`), is printed
    as one line and ends the process with status 2, Ctrl-C with 130. A process that shares a training with
    others always ends here, see `call_and_end`."""
    call_and_end(lambda: _run(main))


def _run(main):
    outside_fault.say_once()
    try:
        main()
    except Refusal as refusal:
        sys.stderr.write("encore: {}\n".format(refusal))  # at once: threads write there too
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("encore: interrupted; run the same command again to go on\n")
        sys.exit(130)
    except Exception as error:
        line = outside_fault.advice(error)
        if line is None:
            raise
        sys.stderr.write("encore: {}\n".format(line))
        sys.exit(2)


def work_path(system, name, recipe_digest, item=""):
    """Where the work in progress of one recipe of one stage, under this code and these libraries, lies."""
    recipe_digest = hashlib.sha256((recipe_digest + environment_digest()).encode("ascii")).hexdigest()
    return os.path.join(".work", ".".join(part for part in (system, name, item) if part), recipe_digest[:16])


def environment_digest():
    """SHA-256 over the first-party files that are loaded and the versions of the numerical libraries.

    Work in progress of other code or other libraries is never mixed with that of this run.
    """
    digest = hashlib.sha256("{}.{}".format(*sys.version_info[:2]).encode("ascii"))
    for name, module in sorted(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if name.split(".")[0] in ("encore", "stages") and path:
            digest.update((name + file_digest(path)).encode("utf-8"))
        elif name in LIBRARIES:
            digest.update((name + str(getattr(module, "__version__", ""))).encode("utf-8"))
    return digest.hexdigest()


def needed(path):
    """`path`, an output of an earlier stage; Refusal when it is not there."""
    if not os.path.exists(path):
        raise Refusal("{}: missing: run the stage that makes it first (`dvc repro` runs all)".format(path))
    return path


class Stage:
    """One run of one stage, used as a context manager.

    Everything is relative to the working directory, which is the folder of dvc.yaml. Work in progress lives
    in `.work/<system>.<stage>[.<item>]/<recipe digest>/`, where DVC does not delete it, guarded by a lock.
    """

    def __init__(self, system, name, item="", seed=0):
        self.system, self.name, self.item, self.seed = system, name, item, seed
        self.recorded = {}
        self._lock, self._finished, self._kept = None, [], contextlib.ExitStack()

    def __enter__(self):
        self._clock = Clock()
        self._check_hardware()
        self._check_environment()
        folder = os.path.dirname(work_path(self.system, self.name, "recipe", self.item))
        os.makedirs(folder, exist_ok=True)
        self._folder = folder
        self._lock = _locked(os.path.join(folder, "lock"))
        own_semaphores(folder)
        self._kept.enter_context(own_temporaries(folder))
        return self

    def __exit__(self, kind, error, traceback):
        try:
            if kind is None:
                self._record_fingerprint()
                for produced, output in self._finished:
                    _rename(produced, output)
                self._forget_work()
        finally:
            self._kept.close()
            self._lock.close()
        return False

    def parameters(self, path, cls):
        """This stage's own section of the parameter file, `<system>.<stage>`, checked."""
        values = read_parameters(path, "{}.{}".format(self.system, self.name), cls)
        self.seed = getattr(values, "seed", self.seed)
        self.recorded["parameters"] = dataclasses.asdict(values)
        return values

    def inputs(self, *names):
        """What the data check recorded in `inputs/<name>.json` of path, count, bytes and names.

        Raises Refusal when a record is missing.
        """
        records = []
        for name in names:
            path = os.path.join("inputs", name + ".json")
            try:
                with open(path, encoding="utf-8") as file:
                    record = json.load(file)
                record.pop("licence", None)  # its wording decides no result
                records.append(record)
            except FileNotFoundError:
                raise Refusal(
                    "{}: missing: run `encore data` first, it checks the input data".format(path)
                ) from None
        return records

    def work_folder(self, recipe_digest):
        """The folder for work in progress of exactly this recipe; what a killed run left is still there."""
        folder = work_path(self.system, self.name, recipe_digest, self.item)
        for other in os.listdir(self._folder):
            path = os.path.join(self._folder, other)
            if os.path.isdir(path) and path != folder:
                _discard(path)
        os.makedirs(folder, exist_ok=True)
        _remove_temporaries(folder)
        return folder

    def publish(self, produced, output):
        """Rename the finished file or folder `produced` to `output`, as the last act of a run that ends well.

        Until then metrics and other records are written, so that an error there loses no work.
        """
        self._finished.append((produced, output))

    def metrics(self, values, item=None):
        """Write `metrics/<system>/<stage>[/<item>].json`: a flat dict of finite numbers."""
        for key, value in values.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError("metric {}: {!r} is not a number".format(key, value))
        write_json(self._record_path("metrics", item), values)

    def evidence(self, evidence, item=None):
        """Write `evidence/<system>/<stage>[/<item>].npz`, from which the metrics of that name are computed
        again; evidence: has `write(path)`."""
        evidence.write(os.path.splitext(self._record_path("evidence", item))[0] + ".npz")

    def need_disk(self, size, what, done=""):
        """Refuse to start when less than `size` bytes are free, not counting what the folder `done` holds."""
        files = (os.path.join(place, name) for place, _, names in os.walk(done) for name in names)
        size -= sum(map(os.path.getsize, files))
        free = shutil.disk_usage(".").free
        if free < size:
            raise Refusal(
                "{}: needs {:.1f} GB of disk for {}, {} has {:.1f} GB free: make room or move the "
                "project".format(self.name, size / 1e9, what, os.getcwd(), free / 1e9)
            )

    def need_shared_memory(self, size, what):
        """Refuse to start when less than `size` bytes of /dev/shm are free."""
        found = shared_memory()
        if found is not None and found[0] < size:
            raise Refusal(
                "{}: needs {:.3f} GB of shared memory for {}, {:.3f} of {:.3f} GB of /dev/shm are free: "
                "free some, lower workers, or give the container more: --shm-size (ENCORE_SHM_SIZE)".format(
                    self.name, size / 1e9, what, found[0] / 1e9, found[1] / 1e9
                )
            )

    def _check_hardware(self):
        objection = hardware.objection_here()
        if objection is None:
            return
        if not hardware.accepted():
            raise Refusal(
                "{}: {}; leave it out with CUDA_VISIBLE_DEVICES, or run anyway with --accept-hardware or "
                "{}=1: the verdict says so".format(self.name, objection, hardware.ACCEPT)
            )
        print("encore: warning: hardware accepted: {}".format(objection), file=sys.stderr)

    def _check_environment(self):
        name = os.environ.get("ENCORE_ENVIRONMENT")
        if not name:
            return
        rows = environment.deviations(environment.compare(name, environment.findings()))
        texts = ["{} {} instead of {}".format(row.what, row.found, row.wanted) for row in rows]
        self.recorded["environment_deviations"] = texts
        if texts:
            print(
                "encore: warning: environment {} deviates: {}".format(name, environment.listing(texts)),
                file=sys.stderr,
            )

    def _record_path(self, kind, item=None):
        parts = [part for part in (kind, self.system, self.name, self.item if item is None else item) if part]
        return os.path.join(*parts) + ".json"

    def _record_fingerprint(self):
        values = fingerprint()
        values.update(
            self._clock.reading(),
            system=self.system,
            stage=self.name,
            item=self.item,
            seed=self.seed,
            **self.recorded,
        )
        write_json(self._record_path("fingerprints"), values)

    def _forget_work(self):
        for name in os.listdir(self._folder):
            path = os.path.join(self._folder, name)
            if os.path.isdir(path):
                _discard(path)


def _discard(folder):
    """Remove a folder of work in progress: a run that is killed meanwhile leaves none that looks like
    work."""
    if not folder.endswith(DISCARDED):
        if os.path.isdir(folder + DISCARDED):
            shutil.rmtree(folder + DISCARDED)
        os.rename(folder, folder + DISCARDED)
        folder += DISCARDED
    shutil.rmtree(folder)


def _rename(produced, output):
    parent = os.path.dirname(output) or "."
    os.makedirs(parent, exist_ok=True)
    for name in os.listdir(parent):  # what a killed run had moved aside
        if name.startswith(os.path.basename(output) + ".replaced-"):
            shutil.rmtree(os.path.join(parent, name))
    old = "{}.replaced-{}".format(output, os.getpid())
    if os.path.isdir(output):
        os.rename(output, old)
    os.replace(produced, output)
    sync_folder(parent)
    shutil.rmtree(old, ignore_errors=True)


def _locked(path):
    file = open(path, "a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise Refusal(
            "{}: process {} is running this stage already: wait for it or stop it".format(
                os.path.dirname(path), holder
            )
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _remove_temporaries(folder):
    for place, _, files in os.walk(folder):
        for name in files:
            if ".tmp-" in name:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(place, name))
