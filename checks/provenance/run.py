"""What a size's dvc.yaml, dvc.lock and fingerprints say of its run: stages, what each read and wrote."""

from __future__ import annotations

import hashlib
import os
import posixpath
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from arcp import arcp_uuid

from checks.fingerprint_file import read_fingerprint
from checks.pipeline_stages import read_pipeline
from checks.runs.dvc_lock import read_lock
from checks.size import Size
from encore.runtime.refusal import Refusal


@dataclass(frozen=True)
class Recorded:
    """A file or folder as a stage met it: `path` from the project's folder, `md5` (of a folder that of its
    listing, ending in .dir), `bytes`, and the number of `files` of a folder; None where nobody noted it."""

    path: str
    md5: str | None
    bytes: int | None = None
    files: int | None = None

    @property
    def is_folder(self):
        return (self.md5 or "").endswith(".dir")


@dataclass(frozen=True)
class StageRun:
    """One stage as it ran; `fingerprint` is {} where the stage writes none."""

    name: str
    command: str
    description: str
    read: tuple[Recorded, ...]
    wrote: tuple[Recorded, ...]
    parameters: dict[str, object] = field(default_factory=dict)
    fingerprint: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """The run of a size: its stages by name, and the names of those that dvc.yaml has and dvc.lock lacks."""

    size: Size
    root: Path
    prefix: str
    stages: tuple[StageRun, ...]
    not_run: tuple[str, ...]
    digest: str
    """SHA-256 of dvc.lock: what tells this run from others."""

    @classmethod
    def of(cls, size):
        """The run of a size; raises Refusal where nothing has run, or a file cannot be read."""
        lock = size.folder / "dvc.lock"
        if not lock.is_file():
            raise Refusal(
                f"{lock}: no such file: nothing has run here, see `dvc repro {size.folder}/dvc.yaml`"
            )
        pipeline = read_pipeline(size.folder)
        known, locked = pipeline.stages, read_lock(size.folder)
        names = sorted(known.keys() & locked.keys())
        if not names:
            raise Refusal(f"{lock}: no stage of dvc.yaml in it: run `dvc repro {size.folder}/dvc.yaml` first")
        root, prefix = project_of(size, pipeline.parameters)
        stages = tuple(_stage(name, locked[name], known[name].body, size, prefix) for name in names)
        digest = hashlib.sha256(lock.read_bytes()).hexdigest()
        return cls(size, root, prefix, stages, tuple(sorted(known.keys() - locked.keys())), digest)

    @cached_property
    def identity(self):
        """A UUID that the same dvc.lock gives again."""
        return uuid.uuid5(uuid.NAMESPACE_URL, f"encore run {self.digest}")

    def address(self, path):
        """The address of a file that stays where it was made: `path` of it in the archive named by the UUID
        of the run (Archive and Package URI), which tells no machine and no place on it."""
        return arcp_uuid(self.identity, path)

    def in_project(self, path):
        """The path from the project's folder of one that is written from the size's folder."""
        return posixpath.normpath(posixpath.join(self.prefix, path))

    @cached_property
    def times(self):
        """(first start, last end) of the stages as texts, or None where no fingerprint says one."""
        starts = sorted(text for text, _ in map(stage_times, self.stages) if text)
        ends = sorted(text for _, text in map(stage_times, self.stages) if text)
        return (starts[0] if starts else None, ends[-1] if ends else None)


def stage_times(stage):
    """(start, end) of a stage in ISO 8601, UTC, each None where its fingerprint does not say."""
    finished, seconds = stage.fingerprint.get("finished"), stage.fingerprint.get("wall_seconds")
    return _begun(finished, seconds), finished


def _begun(finished, seconds):
    """When what lasted `seconds` and ended at `finished` began; None where one is not known."""
    ended = None if finished is None else datetime.fromisoformat(finished)
    return None if None in (ended, seconds) else (ended - timedelta(seconds=round(seconds))).isoformat()


def project_of(size, parameters):
    """(the project's folder, the path of the size in it, "" for the size that is the project's folder)."""
    folder = Path(os.path.realpath(size.folder))
    root = Path(os.path.normpath(folder / str(parameters.get("root", "."))))
    prefix = folder.relative_to(root).as_posix()
    return root, "" if prefix == "." else prefix


def _stage(name, locked, body, size, prefix):
    return StageRun(
        name=name,
        command=locked.cmd,
        description=str(body.get("desc", name)),
        read=_recorded(locked.read, prefix),
        wrote=_recorded(locked.outs, prefix),
        parameters={key: value for one in locked.sections.values() for key, value in one.items()},
        fingerprint=_fingerprint(locked.outs, size),
    )


def _recorded(files, prefix):
    return tuple(
        Recorded(
            posixpath.normpath(posixpath.join(prefix, path)),
            noted.get("md5"),
            noted.get("size"),
            noted.get("nfiles"),
        )
        for path, noted in sorted(files.items())
    )


def _fingerprint(outs, size):
    """The stage's own record of its environment, {} where it has none or it is not there any more."""
    for name in outs:
        path = size.folder / name
        if name.startswith("fingerprints/") and path.is_file():
            return _checked(path, read_fingerprint(path))
    return {}


def _checked(path, record):
    """A fingerprint; raises Refusal where what a crate tells of it is of another kind."""
    for key, kind in {"libraries": dict, "image_digest": str, "environment": str, "python": str}.items():
        if not isinstance(record.get(key, kind()), kind):
            raise Refusal(f"{path}: {key}: no stage writes {record[key]!r:.60}: run the stage again")
    try:
        _begun(record.get("finished"), record.get("wall_seconds"))
    except (OverflowError, TypeError, ValueError) as error:
        raise Refusal(f"{path}: finished, wall_seconds: no time ({error}): run the stage again") from None
    return record
