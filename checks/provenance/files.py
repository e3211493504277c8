"""Every file of a run as an entity: small ones are held in the crate, the others referred to by their md5."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

HELD_BYTES = 2**18
RECORD_BYTES = 2**22
RECORDS = ("metrics", "fingerprints", "inputs", "evidence", "locks")
"""Folders whose files are what a verdict rests on: held up to RECORD_BYTES each, others up to HELD_BYTES."""
FORMATS = {".json": "application/json", ".yaml": "application/yaml", ".lock": "application/yaml"}
FORMATS.update({".csv": "text/csv", ".txt": "text/plain", ".py": "text/x-python", ".png": "image/png"})


class Files:
    """The files of one run as they become entities of `graph`, and what is not as its stage left it."""

    def __init__(self, run, graph, discretion):
        self._run, self._graph, self._discretion = run, graph, discretion
        self._known = {}
        self.problems = []

    def entity(self, recorded):
        """The id of the entity of a Recorded file or folder."""
        key = (recorded.path, recorded.md5)
        if key not in self._known:
            self._known[key] = self._add(recorded)
        return self._known[key]

    def hold(self, path, kind="File", **properties):
        """The id of a file of the project that no stage recorded, held as it is; None where there is none."""
        source = self._run.root / path
        if not source.is_file():
            return None
        return self._hold(path, source.read_bytes(), kind, **properties)

    def _add(self, recorded):
        data = self._bytes(recorded)
        taken = any(path == recorded.path for path, _ in self._known)
        if data is None or taken:
            return self._refer(recorded)
        return self._hold(recorded.path, data, md5=recorded.md5)

    def _bytes(self, recorded):
        """The bytes of a small file that is still what its stage met; None for any other."""
        source = self._run.root / recorded.path
        if recorded.is_folder:
            if not source.is_dir():
                self.problems.append(f"{recorded.path}: recorded, and not here")
            return None
        if not source.is_file():
            self.problems.append(f"{recorded.path}: recorded, and not here")
            return None
        if recorded.bytes is not None and source.stat().st_size != recorded.bytes:
            self.problems.append(f"{recorded.path}: not what the run recorded: its length differs")
            return None
        if source.stat().st_size > _limit(recorded.path, self._run.prefix):
            return None
        data = source.read_bytes()
        if recorded.md5 is not None and hashlib.md5(data).hexdigest() != recorded.md5:
            self.problems.append(f"{recorded.path}: not what the run recorded: its md5 differs")
            return None
        return data

    def _hold(self, path, data, kind="File", **properties):
        within = path.startswith(f"{self._run.prefix}/" if self._run.prefix else "")
        is_record = within and not path.endswith(".py")
        clean = self._discretion.clean_bytes(data, is_record)
        if clean != data:
            before = properties.pop("md5", None)
            properties["description"] = "a secret or a place on a disk was taken out of it"
            properties["description"] += f"; its md5 was {before}" if before else ""
        name = properties.pop("name", path)
        return self._graph.add_file(path, clean, kind, name=name, encodingFormat=_form(path), **properties)

    def _refer(self, recorded):
        identity = self._graph.distinct(self._run.address(recorded.path), recorded.md5)
        return self._graph.add_outside(
            identity + ("/" if recorded.is_folder else ""),
            "Dataset" if recorded.is_folder else "File",
            name=recorded.path,
            alternateName=recorded.path,
            md5=recorded.md5,
            contentSize=None if recorded.bytes is None else str(recorded.bytes),
            encodingFormat=None if recorded.is_folder else _form(recorded.path),
            description=None if recorded.files is None else f"{recorded.files:,} files",
        )


def _form(path):
    """The media type of a file; a program or licence without a suffix is text."""
    suffix = Path(path).suffix
    return FORMATS.get(suffix, "application/octet-stream" if suffix else "text/plain")


def _limit(path, prefix):
    first = os.path.relpath(path, prefix or ".").split("/")[0]
    return RECORD_BYTES if first in RECORDS or path.split("/")[0] in RECORDS else HELD_BYTES
