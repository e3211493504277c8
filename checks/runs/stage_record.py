"""The record of one stage of a run: what it read, with what it ran, and what came out."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from checks.runs.dvc_lock import flat
from encore.data.manifest import NAME as MANIFEST
from encore.data.manifest import Manifest
from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal

DEVICE_FACTS = (
    "processor",
    "cpu_capability",
    "device",
    "capability",
    "driver",
    "hardware_objection",
    "threads",
    "blas",
    "blas_threads",
)
"""What a fingerprint says of the processor or GPU and how it is used."""

FACTS = (
    "python",
    "implementation",
    "cores",
    "machine",
    "libraries",
    "image_digest",
    "environment",
    "environment_deviations",
    "stand_in",
    *DEVICE_FACTS,
    "cuda",
    "cudnn",
    "compiled_for",
    "numerics",
    "jpeg",
    "libjpeg_turbo",
    "freetype",
    "raqm",
    "revision",
    "dirty",
    "seed",
    "finished",
)
"""What a fingerprint says of environment, hardware, code, seed and day; parameters stay out."""

INPUT_FACTS = ("count", "bytes", "names_sha256", "sha256")
PLATFORM = re.compile(r"-(?P<architecture>[^-]+)-with-(?P<c_library>.+)$")
CHANGED = "changed after its stage wrote it"
UNKNOWN = ""
"""The md5 of an output of which dvc.lock does not say one."""


@dataclass(frozen=True)
class Out:
    """One output as its stage wrote it; `content` is the digest of the files of a folder that two equal runs
    share, where the folder was there to read. `changed` says so where it is no longer what was written."""

    md5: str
    size: int | None = None
    nfiles: int | None = None
    content: str | None = None
    changed: str | None = None


@dataclass(frozen=True)
class Contents:
    """What a data set holds, by its manifest."""

    count: int
    classes: int
    digest: str


@dataclass(frozen=True)
class StageRecord:
    """One stage of a run.

    `deps`: {path: md5}, code among them. `params` and `fingerprint` by dotted key. `metrics`: {file: {key:
    number}}, `manifests`: {data set folder: Contents}, `inputs`: {name: what the data check found}, each
    where the files are there.
    """

    system: str
    stage: str
    item: str
    cmd: str
    deps: dict[str, str]
    params: dict[str, object] = field(default_factory=dict)
    outs: dict[str, Out] = field(default_factory=dict)
    fingerprint: dict[str, object] = field(default_factory=dict)
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    manifests: dict[str, Contents] = field(default_factory=dict)
    inputs: dict[str, dict[str, object]] = field(default_factory=dict)


def record_stage(folder, name, stage, digests):
    """The StageRecord of the Locked `stage` and of the files it left below `folder`, whose Digests are given;
    raises Refusal for a file that cannot be read."""
    outs = {path: _out(path, entry, digests.of(path)) for path, entry in stage.outs.items()}
    there = [path for path in stage.outs if (folder / path).exists()]
    system, name, item = _named(name, stage)
    return StageRecord(
        system=system,
        stage=name,
        item=item,
        cmd=stage.cmd,
        deps=stage.deps,
        params=stage.params,
        outs=outs,
        fingerprint=_fingerprint(folder, _below(there, "fingerprints/")),
        metrics={path: _numbers(folder / path) for path in _below(there, "metrics/")},
        manifests={path: _contents(folder / path) for path in there if (folder / path / MANIFEST).is_file()},
        inputs={Path(path).stem: _input(folder / path) for path in _below(there, "inputs/")},
    )


def _named(name, stage):
    """(system, stage, item): from the fingerprint that the stage writes, else from its name in dvc.yaml."""
    for path in stage.outs:
        parts = path.removesuffix(".json").split("/")
        if parts[0] == "fingerprints" and len(parts) >= 3:
            return parts[1], parts[2], "/".join(parts[3:])
    name, _, item = name.partition("@")
    return "", name, item


def _below(paths, prefix):
    return [path for path in paths if path.startswith(prefix) and path.endswith(".json")]


def _out(path, locked, found):
    changed = content = None
    if found is not None:
        changed = change(path, locked, found)
        content = found.content
    return Out(**{"md5": UNKNOWN, **locked}, content=content, changed=changed)


def change(path, locked, found):
    """What became of an output since its stage wrote it, in a few words; None when it is as it was.

    locked: {md5, size, nfiles} of dvc.lock; found: its OnDisk.
    """
    newest = f"; its newest file is {found.newest}" if found.newest and (found.nfiles or 0) > 1 else ""
    if found.newest and found.nfiles == 1:
        path = f"{path}/{found.newest}"
    said = f"{path} was {CHANGED}"
    wanted = locked.get("nfiles")
    if found.nfiles is not None and wanted is not None and found.nfiles != wanted:
        return f"{said}: {found.nfiles} files instead of {wanted}{newest}"
    if "size" in locked and found.size != locked["size"]:
        return f"{said}: {found.size:,} bytes instead of {locked['size']:,}{newest}"
    if found.md5 is not None and found.md5 != locked.get("md5", found.md5):
        return f"{said}: same size, other content{newest}"
    return None


def _fingerprint(folder, paths):
    """The facts of the (one) fingerprint of a stage by dotted key; {} where there is none."""
    facts = {}
    for path in paths:
        value = read_mapping(folder / path)
        facts.update(flat({key: value[key] for key in FACTS if key in value}))
        platform = PLATFORM.search(str(value.get("platform", "")))
        facts.update(platform.groupdict() if platform else {})
    return dict(sorted(facts.items()))


def _numbers(path):
    value = read_mapping(path)
    for key, number in value.items():
        if type(number) not in (int, float) or not abs(number) <= sys.float_info.max:
            said = f"expected a finite number, found {number!r:.60}"
            raise Refusal(f"{path}: {key}: {said}: run its stage again")
    return value


def _contents(folder):
    manifest = Manifest.read(folder)
    return Contents(manifest.count, manifest.classes, manifest.digest)


def _input(path):
    value = read_mapping(path)
    return {key: value[key] for key in INPUT_FACTS if key in value}


def read_mapping(path):
    """The JSON mapping in `path`; raises Refusal."""
    value = read_json(path, "no such file: run its stage again")
    if not isinstance(value, dict):
        raise Refusal(f"{path}: expected a mapping: run its stage again")
    return value


def read_json(path, missing):
    """What the JSON file `path` holds; raises Refusal, which says `missing` where there is no such file."""
    try:
        return read_json_file(path)
    except FileNotFoundError:
        raise Refusal(f"{path}: {missing}") from None
    except OSError as error:
        raise Refusal(f"{path}: cannot be read ({error.strerror}): make it again") from None
    except (RecursionError, ValueError) as error:
        raise Refusal(f"{path}: not JSON ({error}): make it again") from None
