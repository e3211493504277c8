"""Where a number came from: this machine, another one, or the authors' own predictions."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import lru_cache
from pathlib import Path

from checks.fingerprint_file import read_fingerprint

RUN_HERE = "run here"
PUBLISHED = "published predictions"
UNKNOWN = "cached from an unknown machine"


def this_machine():
    """This machine's name in fingerprints: 12 hex digits of a digest over machine id and host name.

    `ENCORE_MACHINE` replaces both, so that a run inside a container counts as a run of its host. The stages
    compute the same in `encore.runtime.fingerprint`; a test holds the two together.
    """
    text = os.environ.get("ENCORE_MACHINE")
    if text is None:
        path = Path("/etc/machine-id")
        identity = path.read_text(encoding="ascii", errors="replace").strip() if path.is_file() else ""
        text = f"{identity} {platform.node()}"
    return hashlib.sha256(f"encore machine {text}".encode("utf-8", "replace")).hexdigest()[:12]


def fingerprint_of(folder, metric_file):
    """The fingerprint of the stage that wrote `metric_file`: `metrics/a.json` -> `fingerprints/a.json`."""
    return Path(folder) / "fingerprints" / Path(metric_file).relative_to("metrics")


def hardware_objections(folder, behind):
    """What the hardware rule had against the devices that the stages behind a number ran on all the same."""
    found = (row.get("hardware_objection") for row in map(read_fingerprint, behind.fingerprint_files(folder)))
    return sorted({text for text in found if text})


def origin(folder, metric_file, behind, machine=None):
    """`run here`, `cached from <machine, date>` or `published predictions` for one metric file.

    Run here holds only when every stage `behind` it (a Lineage) ran on this machine: a test run here on
    weights that came from elsewhere is not a run of the claim, nor is one on weights of which the fingerprint
    that dvc.lock lists is not there.
    """
    machine = machine or this_machine()
    own = read_fingerprint(fingerprint_of(folder, metric_file))
    if own.get("origin") == PUBLISHED:
        return PUBLISHED
    for fingerprint in [own, *map(read_fingerprint, behind.fingerprint_files(folder))]:
        if fingerprint["machine"] != machine:
            return f"cached from {fingerprint['machine']}, {fingerprint['finished'][:10]}"
    return UNKNOWN if _lacks_fingerprint(Path(folder), metric_file) else RUN_HERE


def _lacks_fingerprint(folder, metric_file):
    """Whether dvc.lock lists a fingerprint behind a number that is not there."""
    from checks.runs.dvc_lock import behind, read_lock

    if not (folder / "dvc.lock").is_file():
        return False
    stages = read_lock(folder)
    return any(
        path.startswith("fingerprints/") and not (folder / path).is_file()
        for name in behind(stages, metric_file)
        for path in stages[name].outs
    )


def stored_origin(size, metric_file, evidence_file):
    """`cached from <machine, date>` or `published predictions` of a number computed again from stored files.

    By the stage's fingerprint where it is there, else by the stored record of the size's reference run where
    the evidence file is the one of that run; never run here, since nothing ran.
    """
    path = fingerprint_of(size.folder, metric_file)
    if path.is_file():
        fingerprint = read_fingerprint(path)
        if fingerprint.get("origin") == PUBLISHED:
            return PUBLISHED
        return f"cached from {fingerprint['machine']}, {fingerprint['finished'][:10]}"
    facts = _facts_on_record(size, evidence_file)
    if "machine" not in facts:
        return UNKNOWN
    day = str(facts["finished"])[:10] if "finished" in facts else "day not recorded"
    return f"cached from {facts['machine']}, {day}"


def _facts_on_record(size, evidence_file):
    """The fingerprint of the stage that wrote an evidence file in the stored reference run; {} where that run
    is not stored, or wrote another one."""
    from checks.runs.reference import reference_file

    path = reference_file(size)
    if not path.is_file():
        return {}
    found = hashlib.md5((size.folder / evidence_file).read_bytes(), usedforsecurity=False).hexdigest()
    for stage in _record(path, path.stat().st_mtime_ns).stages.values():
        out = stage.outs.get(evidence_file)
        if out is not None and out.md5 == found:
            return stage.fingerprint
    return {}


@lru_cache(maxsize=2)  # every claim of a size asks for the same one
def _record(path, _changed):
    from checks.runs.run_record import RunRecord

    return RunRecord.of_file(path)
