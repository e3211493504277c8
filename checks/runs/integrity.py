"""Whether the files behind a number are still what their stages wrote."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from checks.runs.difference import RECORDS
from checks.runs.dvc_lock import behind, read_lock
from checks.runs.out_digest import digests_of, is_log
from checks.runs.stage_record import change
from encore.data.manifest import NAME as MANIFEST
from encore.data.manifest import Manifest, verify_manifest
from encore.runtime.refusal import Refusal

FINGERPRINTS, EVIDENCE = "fingerprints/", "evidence/"


@dataclass(frozen=True)
class Broken:
    """An output that is no longer what its stage wrote: the stage, its path and a sentence."""

    stage: str
    path: str
    text: str


def first_broken(folder, metric_file, evidence=False, reference=None):
    """The first Broken output behind `metric_file` in the size folder, in the order of the stages; None when
    there is none, or no dvc.lock that would tell.

    Records about a run (`difference.RECORDS`) do not count, since no number rests on them: a stage run
    again always has another fingerprint. evidence: the number is computed from evidence files, which count.
    reference: a call that gives the stored reference run, or None, for folders whose logs alone may differ.
    """
    folder = Path(folder)
    if not (folder / "dvc.lock").is_file():
        return None
    locked, digests = read_lock(folder), digests_of(folder.resolve())
    try:
        for stage in behind(locked, metric_file):
            for path, wanted in locked[stage].outs.items():
                if path.startswith(RECORDS) and not (evidence and path.startswith(EVIDENCE)):
                    continue
                found = digests.of(path)
                text = found and change(path, wanted, found)
                is_set = (folder / path / MANIFEST).is_file()  # whose content its manifest tells
                if text and (is_set or not _logs_alone(stage, path, wanted, found, reference)):
                    return Broken(stage, path, _sentence(folder, stage, locked[stage], path, text, found))
    finally:
        digests.remember()
    return None


def sized_only(folder, metric_file):
    """The outputs behind `metric_file` that were told by count and size alone, since they are too large."""
    locked, digests = read_lock(folder), digests_of(Path(folder).resolve())
    paths = [path for stage in behind(locked, metric_file) for path in locked[stage].outs]
    return [path for path in paths if not path.startswith(RECORDS) and digests.too_large(path)]


def is_its_own(folder, stage):
    """Whether the fingerprint of a Locked stage is the one that dvc.lock speaks of; True where it is not
    there, or the stage has none."""
    digests = digests_of(Path(folder).resolve())
    for path, wanted in stage.outs.items():
        found = digests.of(path) if path.startswith(FINGERPRINTS) else None
        if found is not None and found.md5 != wanted.get("md5", found.md5):
            return False
    return True


def dvc(folder, command, stage=""):
    """A DVC command on the pipeline in `folder`, as it is typed where `encore` was."""
    if os.path.normpath(folder) == ".":
        return f"`dvc {command}{' ' * bool(stage)}{stage}`"
    return f"`dvc {command} {Path(folder) / 'dvc.yaml'}{':' * bool(stage)}{stage}`"


def _logs_alone(stage, path, wanted, found, reference):
    """Whether a folder holds the weights that its stage wrote, beside other logs; only the reference run can
    tell, and only where it is the run of dvc.lock."""
    if found.content is None or reference is None:
        return False
    run = reference()
    known = run and run.stages.get(stage)
    out = known and known.outs.get(path)
    return out is not None and out.md5 == wanted.get("md5") and out.content == found.content


def _sentence(folder, stage, locked, path, text, found):
    newest = ", a log" if found.newest and (found.nfiles or 0) > 1 and is_log(found.newest) else ""
    by_hand = "; run outside DVC, since its fingerprint differs too" if not is_its_own(folder, locked) else ""
    steps = f"{dvc(folder, 'commit', stage)} if you ran it by hand, else {dvc(folder, 'repro')}"
    return f"{text}{newest} ({stage}){_of_data_set(folder, path)}{by_hand}: {steps}"


def _of_data_set(folder, path):
    """What the manifest of a data set says of it, where it has one."""
    if not (folder / path / MANIFEST).is_file():
        return ""
    try:
        problems = verify_manifest(folder / path)
        held = Manifest.read(folder / path)
    except Refusal as error:
        problems = [str(error)]
    if problems:
        return "; " + problems[0].removeprefix(f"{folder / path}").lstrip("/: ")
    return f"; it now holds {held.count:,} images of {held.classes:,} classes"
