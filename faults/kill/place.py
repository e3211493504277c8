"""The folder in which one stage is run again and again, and what may lie there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

from checks.runs.out_digest import is_log

LOCK = "lock"
WORK = ".work"
PREPROCESSES = re.compile(rb'"num_preprocess_workers": \d+')
SHOWN = 3
"""Files that a loss names."""


class Place:
    """A folder with what one stage reads, copied from a finished size `reference`.

    temporary: the folder for temporary files that its runs get (TMPDIR); shared: folders that are the
    lane's own, such as /dev/shm, and must be empty after a run.
    """

    def __init__(self, planned, reference, folder, temporary, shared=()):
        self.planned, self.reference, self.folder = planned, Path(reference), Path(folder)
        self.temporary, self._shared = Path(temporary), tuple(map(Path, shared))
        self.expected = digests(self.reference, planned.compared)

    def make(self):
        """Make the folder anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for path in sorted(self.reference.iterdir()):
            if path.is_symlink() or path.name in ("params.yaml", "inputs.yaml", "dvc.yaml"):
                shutil.copy2(path, self.folder / path.name, follow_symlinks=False)
        for path in self.planned.reads:
            self._copy(path)
        self.give()

    def give(self):
        """Take what lies there now for what the stage is given."""
        self._given = self._entries()

    def remove_outputs(self):
        """What DVC does before it runs a stage."""
        for path in self.planned.makes:
            _remove(self.folder / path)

    def begin_again(self):
        """Leave nothing of earlier runs: the next one starts from the start."""
        for parent, folders, names in os.walk(self.folder, topdown=False):
            for name in (*names, *folders):
                path = os.path.join(parent, name)
                if os.path.relpath(path, self.folder) not in self._given:
                    _remove(Path(path))
        for path in (self.temporary, *self._shared):
            for found in path.iterdir():
                _remove(found)

    def half_visible(self):
        """What is wrong with the outputs that are there: each must be the final one, or absent. Texts."""
        there = digests(self.folder, self.planned.compared)
        found = [
            f"{path} is visible, but not the final one ({_difference(there[path], self.expected[path])})"
            for path in there
            if there[path] != self.expected[path]
        ]
        for path in self.planned.makes:
            if path not in self.planned.compared and (self.folder / path).exists():
                with contextlib.suppress(ValueError):
                    json.loads((self.folder / path).read_bytes())
                    continue
                found.append(f"{path} is visible, but half a record")
        return found

    def unlike_reference(self):
        """What is wrong after a run that ended well: outputs that are missing or differ. Texts."""
        there = digests(self.folder, self.planned.compared)
        found = self.half_visible()
        found += [f"{path} is missing" for path in self.expected if path not in there]
        found += [f"{path} is missing" for path in self.planned.makes if not (self.folder / path).exists()]
        if digests(self.folder, self.planned.reads) != digests(self.reference, self.planned.reads):
            found.append("an input was changed")
        return sorted(set(found))

    def leftovers(self):
        """Files that a finished run should not have left: temporaries, work in progress. Texts."""
        made = tuple(self.planned.makes)
        found = [
            f"{path} is left"
            for path in self._files() - self._given
            if not _below(path, made) and not (path.startswith(WORK + "/") and path.endswith("/" + LOCK))
        ]
        for path in (self.temporary, *self._shared):
            found += [f"{entry} is left" for entry in path.iterdir()]
        found += [f"{path} is left in an output" for path in self._files() if ".tmp-" in path]
        return sorted(set(found))

    def _copy(self, path):
        source, target = self.reference / path, self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)

    def _entries(self):
        """The relative paths of all files and folders."""
        return self._files() | {
            os.path.relpath(os.path.join(parent, name), self.folder)
            for parent, names, _ in os.walk(self.folder)
            for name in names
        }

    def _files(self):
        return {
            os.path.relpath(os.path.join(parent, name), self.folder)
            for parent, _, names in os.walk(self.folder)
            for name in names
        }


def digests(folder, paths):
    """{path: {relative path of a file: SHA-256}} of those of `paths` (files or folders) that are in
    `folder`; "" is a file's own relative path. Logs, which no two runs share, count by their absence from
    this."""
    found = {}
    for path in paths:
        place = Path(folder, path)
        if place.is_dir():
            files = sorted(file for file in place.rglob("*") if file.is_file() and not is_log(file.name))
            if files:
                found[path] = {str(file.relative_to(place)): _digest(file) for file in files}
        elif place.exists():
            found[path] = {"": _digest(place)}
    return found


def _difference(found, expected):
    """The first files in which two outputs differ, and how."""
    names = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    return "; ".join(_of_file(name, found, expected) for name in names[:SHOWN])


def _of_file(name, found, expected):
    if name in found and name in expected:
        return f"{name or 'it'} differs"
    return f"{name} is {'not in an undisturbed one' if name in found else 'missing'}"


def _digest(path):
    """SHA-256 of a file; of a params.json without the number of loader processes that it holds."""
    data = path.read_bytes()
    if path.name == "params.json":
        data = PREPROCESSES.sub(b"", data)
    return hashlib.sha256(data).hexdigest()


def _below(path, parents):
    return any(path == parent or path.startswith(parent + "/") for parent in parents)


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
