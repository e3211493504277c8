"""`encore status`: how far a size has come, judged by dvc.lock and the files that are there.

It is quick, and so it believes the file system: outputs count as done when they are there, inputs that
another stage made as unchanged when both stages recorded the same digest. `dvc status` reads everything.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from checks.finding import ask
from checks.pipeline_stages import NO_SYSTEM, read_pipeline
from checks.recipe import section_of
from checks.runs.dvc_lock import read_lock
from checks.verdict import DEVIATES
from checks.yaml_file import read_yaml
from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal

DONE, STALE, NOT_RUN = "done", "stale", "not run"


@dataclass(frozen=True)
class StageStatus:
    """One stage; `why` is empty when it is done."""

    stage: str
    system: str
    state: str
    why: str = ""


def stage_states(folder):
    """The StageStatus of every stage of the size in `folder`, in its order; raises Refusal."""
    folder = Path(folder)
    pipeline = read_pipeline(folder)
    locked = read_lock(folder) if (folder / "dvc.lock").is_file() else {}
    look = _Look(folder, locked, pipeline.parameters)
    return [StageStatus(name, entry.system, *look.state(name)) for name, entry in pipeline.stages.items()]


class _Look:
    """Compares what dvc.lock says with the folder; each file is read once."""

    def __init__(self, folder, locked, parameters):
        self.folder, self.locked, self.parameters = folder, locked, parameters
        self.written = {
            path: out.get("md5", "") for stage in locked.values() for path, out in stage.outs.items()
        }
        self._md5 = {}

    def state(self, name):
        """(state, why) of one stage."""
        stage = self.locked.get(name)
        if stage is None:
            return NOT_RUN, "never run here"
        absent = [path for path in stage.outs if not (self.folder / path).exists()]
        if absent and len(absent) == len(stage.outs):
            return NOT_RUN, "recorded in dvc.lock, its outputs are not here"
        if absent:
            return STALE, f"{absent[0]} is missing"
        why = self._changed_input(stage) or self._changed_parameters(stage)
        return (STALE, why) if why else (DONE, "")

    def _changed_input(self, stage):
        for path, md5 in stage.deps.items():
            if path in self.written:
                if self.written[path] != md5:
                    return f"{path} was made again since"
            elif not (self.folder / path).exists():
                return f"{path} is missing"
            elif not md5.endswith(".dir") and self._digest(path) != md5:
                return f"{_plain(path)} changed since"
        return ""

    def _changed_parameters(self, stage):
        for file, sections in stage.sections.items():
            values = self.parameters
            if file != "params.yaml":
                values = read_yaml(self.folder / file, "no such file: a stage takes parameters from it")
            for name, value in sections.items():
                if section_of(values, name) != value:
                    return f"{_first_difference(name, value, section_of(values, name))} changed since"
        return ""

    def _digest(self, path):
        if path not in self._md5:
            target = self.folder / path
            digest = (
                hashlib.md5(target.read_bytes(), usedforsecurity=False).hexdigest()
                if target.is_file()
                else None
            )
            self._md5[path] = digest
        return self._md5[path]


def _plain(path):
    return path.removeprefix("../")


def _first_difference(name, old, new):
    """The dotted key of the first value that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if old.get(key) != new.get(key) or (key in old) != (key in new):
                return _first_difference(f"{name}.{key}", old.get(key), new.get(key))
    return name


def ask_dvc(folder, states):
    """The states as `dvc status` sees them, which reads every file; raises Refusal when it fails."""
    folder = Path(folder).resolve()
    command = [sys.executable, "-m", "dvc", "status", "--json", "dvc.yaml"]
    status, output, error = ask(
        command, timeout=None, cwd=folder, env={**os.environ, "DVC_NO_ANALYTICS": "1"}
    )
    try:
        changed = {key.rpartition(":")[2]: value for key, value in json.loads(output).items()}
    except (AttributeError, ValueError):
        raise Refusal(f"`dvc status` in {folder} failed ({status}): {error}") from None
    found = []
    for row in states:
        if row.state == NOT_RUN or row.stage not in changed:
            found.append(row if row.state != STALE else StageStatus(row.stage, row.system, DONE))
        else:
            found.append(StageStatus(row.stage, row.system, STALE, _said(changed[row.stage])))
    return found


def _said(changes):
    """The first change that `dvc status` lists, in a few words."""
    for change in changes:
        for what, rows in change.items() if isinstance(change, dict) else ():
            for path, how in rows.items() if isinstance(rows, dict) else ():
                return f"{_plain(str(path))}: {how if isinstance(how, str) else what}"
    return str(changes[0]) if changes else "changed"


def system_rows(folder, states):
    """A dict for each system: stages done, stale and not run, the first that is not done, its verdicts."""
    verdicts = _verdicts(folder)
    rows = []
    for system in dict.fromkeys(row.system for row in states):
        own = [row for row in states if row.system == system]
        counts = Counter(row.state for row in own)
        first = next((row for row in own if row.state != DONE), None)
        rows.append(
            {
                "system": system,
                "done": counts[DONE],
                "stale": counts[STALE],
                "not run": counts[NOT_RUN],
                "first": f"{first.stage} is {first.state}: {first.why}" if first else None,
                "verdicts": dict(Counter(row["verdict"] for row in verdicts if row["system"] == system)),
            }
        )
    return rows


def _verdicts(folder):
    path = Path(folder) / "report" / "verdicts.json"
    if not path.is_file():
        return []
    try:
        value = read_json_file(path)
        rows = [{"system": row["system"], "verdict": row["verdict"]} for row in value]
        if not all(isinstance(text, str) for row in rows for text in row.values()):
            raise TypeError("a system or verdict that is no text")
        for row, stored in zip(rows, value, strict=True):
            if row["verdict"] == DEVIATES and stored.get("gating") is False:
                row["verdict"] += " (informative)"
        return rows
    except (AttributeError, KeyError, OSError, RecursionError, TypeError, ValueError):
        raise Refusal(f"{path}: not a list of verdicts: run `encore verify {folder}` again") from None


def next_step(folder, states):
    """The command to run next, with the reason."""
    folder = Path(folder)
    size = "" if os.path.normpath(folder) == "." else f" {folder}"
    waiting = [row for row in states if row.state != DONE]
    if any(row.system == NO_SYSTEM and row.state == NOT_RUN for row in waiting):
        option = f" --size{size}" if size else ""
        return f"encore data{option}  (the raw data are not checked yet), then: {_repro(folder, size)}"
    if waiting:
        return f"{_repro(folder, size)}  ({len(waiting)} stages are stale or not run)"
    verdicts, page = folder / "report" / "verdicts.json", folder / "report" / "index.html"
    newest = max((path.stat().st_mtime for path in folder.glob("metrics/**/*.json")), default=0)
    if not verdicts.is_file() or verdicts.stat().st_mtime < newest:
        return f"encore verify{size}  (every stage is done)"
    if not page.is_file() or page.stat().st_mtime < verdicts.stat().st_mtime:
        return f"encore report{size}  (the verdicts are newer than the page)"
    return f"nothing: open {page}"


def _repro(folder, size):
    return f"dvc repro {folder / 'dvc.yaml'}" if size else "dvc repro"
