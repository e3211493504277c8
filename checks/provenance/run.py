"""What a size's dvc.yaml, dvc.lock and fingerprints say of its run: stages, what each read and wrote."""

from __future__ import annotations

import hashlib
import itertools
import os
import posixpath
import re
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from arcp import arcp_uuid

from checks.origin import read_fingerprint
from checks.recipe import read_parameters, section_of
from checks.size import Size
from checks.yaml_file import read_yaml
from encore.runtime.refusal import Refusal

VALUE = re.compile(r"\$\{([^}]+)\}")


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
        locked = _stages(lock, f"no such file: nothing has run here, see `dvc repro {size.folder}/dvc.yaml`")
        parameters = read_parameters(size.folder / "params.yaml")
        pipeline = _stages(size.folder / "dvc.yaml", "no such file: a size is the folder of a dvc.yaml")
        known = dict(expected_stages(pipeline, parameters))
        names = sorted(known.keys() & locked.keys())
        if not names:
            raise Refusal(f"{lock}: no stage of dvc.yaml in it: run `dvc repro {size.folder}/dvc.yaml` first")
        root, prefix = project_of(size, parameters)
        stages = tuple(_stage(name, locked[name], known[name], size, prefix) for name in names)
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
    from datetime import datetime, timedelta

    finished, seconds = stage.fingerprint.get("finished"), stage.fingerprint.get("wall_seconds")
    if finished is None or seconds is None:
        return None, finished
    begun = datetime.fromisoformat(finished) - timedelta(seconds=round(seconds))
    return begun.isoformat(), finished


def project_of(size, parameters):
    """(the project's folder, the path of the size in it, "" for the size that is the project's folder)."""
    folder = Path(os.path.realpath(size.folder))
    root = Path(os.path.normpath(folder / str(parameters.get("root", "."))))
    prefix = folder.relative_to(root).as_posix()
    return root, "" if prefix == "." else prefix


def expected_stages(stages, parameters):
    """(name, its body) of every stage that DVC makes of dvc.yaml, one for each item of foreach and matrix."""
    for name, body in stages.items():
        if "foreach" in body:
            items = _value(body["foreach"], parameters)
            for key in items if isinstance(items, dict) else map(_text, items):
                yield f"{name}@{key}", body["do"]
        elif "matrix" in body:
            axes = [_items(axis, _value(items, parameters)) for axis, items in body["matrix"].items()]
            for chosen in itertools.product(*axes):
                yield f"{name}@{'-'.join(chosen)}", body
        else:
            yield name, body


def _value(text, parameters):
    found = VALUE.fullmatch(text) if isinstance(text, str) else None
    return (section_of(parameters, found.group(1)) or ()) if found else text


def _items(axis, items):
    """The names of a matrix' items: DVC numbers those that are no plain values."""
    return [
        f"{axis}{place}" if isinstance(item, (dict, list)) else _text(item)
        for place, item in enumerate(items)
    ]


def _text(item):
    return str(item).lower() if isinstance(item, bool) else str(item)


def _stages(path, missing):
    value = read_yaml(path, missing)
    if not isinstance(value, dict) or not isinstance(value.get("stages", {}), dict):
        raise Refusal(f"{path}: expected a mapping with stages")
    return value.get("stages", {})


def _stage(name, row, body, size, prefix):
    wrote = _recorded(row.get("outs", []), prefix)
    return StageRun(
        name=name,
        command=str(row.get("cmd", "")),
        description=str(body.get("desc", name)),
        read=_recorded(row.get("deps", []), prefix),
        wrote=wrote,
        parameters={key: value for one in row.get("params", {}).values() for key, value in one.items()},
        fingerprint=_fingerprint(row.get("outs", []), size),
    )


def _recorded(rows, prefix):
    return tuple(
        Recorded(
            posixpath.normpath(posixpath.join(prefix, row["path"])),
            row.get("md5"),
            row.get("size"),
            row.get("nfiles"),
        )
        for row in sorted(rows, key=lambda row: row["path"])
    )


def _fingerprint(rows, size):
    """The stage's own record of its environment, {} where it has none or it is not there any more."""
    for row in rows:
        path = size.folder / row["path"]
        if row["path"].startswith("fingerprints/") and path.is_file():
            return read_fingerprint(path)
    return {}
