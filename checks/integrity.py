"""Whether the files behind a number are still what their stages wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from checks.dvc_lock import behind, read_lock
from checks.out_digest import digests_of
from checks.stage_record import change
from encore.data.manifest import NAME as MANIFEST
from encore.data.manifest import Manifest, verify_manifest
from encore.runtime.refusal import Refusal


@dataclass(frozen=True)
class Broken:
    """An output that is no longer what its stage wrote: the stage, its path and a sentence."""

    stage: str
    path: str
    text: str


def first_broken(folder, metric_file):
    """The first Broken output behind `metric_file` in the size folder, in the order of the stages; None when
    there is none, or no dvc.lock that would tell."""
    folder = Path(folder)
    if not (folder / "dvc.lock").is_file():
        return None
    locked, digests = read_lock(folder), digests_of(folder.resolve())
    try:
        for stage in behind(locked, metric_file):
            for path, wanted in locked[stage].outs.items():
                found = digests.of(path)
                text = found and change(path, wanted, found)
                if text:
                    return Broken(stage, path, f"{text} ({stage}){_of_data_set(folder, path)}")
    finally:
        digests.remember()
    return None


def sized_only(folder, metric_file):
    """The outputs behind `metric_file` that were told by count and size alone, since they are too large."""
    locked, digests = read_lock(folder), digests_of(Path(folder).resolve())
    found = {path: digests.of(path) for stage in behind(locked, metric_file) for path in locked[stage].outs}
    return [path for path, there in found.items() if there is not None and there.md5 is None]


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
