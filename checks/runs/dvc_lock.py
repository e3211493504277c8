"""`dvc.lock`: what DVC wrote down of every stage that ran, in the order in which they feed each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from checks.pipeline_stages import pipeline_stages
from checks.yaml_file import read_yaml, written_at
from encore.runtime.refusal import Refusal

MISSING = "no such file: nothing ran here yet; run `dvc repro`, or name a folder with a run"
REMEDY = "restore it from git or run `dvc repro`"
KINDS = {"md5": str, "size": int, "nfiles": int}


@dataclass(frozen=True)
class Locked:
    """One stage as it ran: its command, {path: md5} of what it read, its parameters by dotted key, and
    {path: {md5, size, nfiles}} of what it wrote, as far as they are noted.

    `read`: the same of what it read. `sections`: {parameter file: {section: value}}, as DVC wrote them.
    """

    cmd: str
    deps: dict[str, str]
    params: dict[str, object]
    outs: dict[str, dict]
    read: dict[str, dict] = field(default_factory=dict)
    sections: dict[str, dict] = field(default_factory=dict)


def read_lock(folder):
    """{stage: Locked} of the size in `folder`, each stage after those it reads from; raises Refusal.

    A stage that is no longer in the folder's dvc.yaml is left out: DVC keeps its entry, and nobody would run
    it again. Where there is no dvc.yaml, as in a folder of results alone, every stage counts.
    """
    folder = Path(folder)
    if not (folder / "dvc.lock").is_file():
        raise Refusal(f"{folder / 'dvc.lock'}: {MISSING}")
    stamp = tuple(written_at(folder / name) for name in ("dvc.lock", "dvc.yaml", "params.yaml"))
    return _read(folder, stamp)


@lru_cache(maxsize=8)  # every claim of a size asks for the same file
def _read(folder, _stamp):
    path = folder / "dvc.lock"
    value = read_yaml(path, MISSING)
    if not isinstance(value, dict) or not isinstance(value.get("stages"), dict):
        raise Refusal(f"{path}: expected a mapping with stages: {REMEDY}")
    rows = {str(name): row for name, row in value["stages"].items()}
    if (folder / "dvc.yaml").exists():
        known = pipeline_stages(folder)
        rows = {name: row for name, row in rows.items() if name in known}
    stages = {}
    for name, row in rows.items():
        try:
            stages[name] = _locked(row)
        except (AttributeError, KeyError, TypeError) as error:
            raise Refusal(
                f"{path}: stages.{name}: not a stage of a lock file ({type(error).__name__}: {error}): "
                f"{REMEDY}"
            ) from None
    return {name: stages[name] for name in in_order(stages)}


def _locked(row):
    sections = row.get("params") or {}
    params = {}
    for values in sections.values():
        params.update(flat(values))
    read = _files(row.get("deps") or ())
    return Locked(
        cmd=row["cmd"] if isinstance(row["cmd"], str) else " && ".join(row["cmd"]),
        deps={path: entry.get("md5", "") for path, entry in read.items()},
        params=dict(sorted(params.items())),
        outs=_files(row.get("outs") or ()),
        read=read,
        sections=sections,
    )


def _files(entries):
    """{path: {md5, size, nfiles}}; raises TypeError for what DVC would not write."""
    found = {}
    for entry in entries:
        path = entry["path"]
        found[path] = {key: entry[key] for key in KINDS if entry.get(key) is not None}
        for key, value in (("path", path), *found[path].items()):
            kind = KINDS.get(key, str)
            if type(value) is not kind:
                raise TypeError(f"{key} of {path!r:.60}: expected {kind.__name__}, found {value!r:.60}")
    return found


def flat(value, prefix=""):
    """{dotted key: value} of nested mappings; lists stay whole."""
    found = {}
    for key, item in value.items():
        if isinstance(item, dict):
            found.update(flat(item, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = item
    return found


def in_order(stages):
    """The names of {name: stage with deps and outs}, each after the stages whose outputs it reads; else as
    given."""
    writes = writers(stages)
    done, order = set(), []

    def visit(name):
        if name not in done:
            done.add(name)
            for other in feeding(stages[name], writes):
                visit(other)
            order.append(name)

    for name in stages:
        visit(name)
    return order


def writers(stages):
    """({output: its stages}, {folder above outputs: the stages that wrote below it})."""
    outputs, folders = {}, {}
    for name, stage in stages.items():
        for path in stage.outs:
            outputs.setdefault(path, []).append(name)
            for folder in _above(path):
                folders.setdefault(folder, []).append(name)
    return outputs, folders


def feeding(stage, writes):
    """The stages that wrote what a stage reads: the path itself, what lies below it, or what it lies in."""
    outputs, folders = writes
    found = {}
    for path in stage.deps:
        around = next((place for place in (path, *_above(path)) if place in outputs), None)
        names = outputs[around] if around else folders.get(path, ())
        found.update(dict.fromkeys(names))
    return list(found)


def behind(stages, file):
    """The names of the stages that `file`, an output, rests on, its own among them; none when nothing
    writes it."""
    writes = writers(stages)
    waiting = [name for name, stage in stages.items() if file in stage.outs]
    found = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(feeding(stages[name], writes))
    return [name for name in stages if name in found]


@lru_cache(maxsize=None)  # the paths of one lock file, and those of its stages over and over
def _above(path):
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
