"""Pictures under the names of sample ids: ImageNet's and face frames, copied or moved (spec drip 1.2, 1.3).

The whole plan is written down before the first file changes, and each file appears whole or not at all, so a
run that was stopped goes on where it stopped.
"""

from __future__ import annotations

import errno
import filecmp
import json
import os
import shutil
from typing import Callable, NamedTuple

from encore.runtime.atomic import replacing, sync_folder
from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal
from encore.systems.drip import face_names, imagenet_names
from encore.systems.drip.samples import IdSpace

PLAN = ".names.jsonl"
"""In the target folder: a line for the mode, the root and the count, then [source path, id] a picture."""
MOVED = ".names.{}.jsonl"
"""The plan of a finished move, by its first id."""
COPY, MOVE = "copy", "move"


class Naming(NamedTuple):
    """How pictures of one kind are numbered."""

    space: IdSpace
    plan: Callable
    """(root, first number) -> [(path below the root, id)]."""
    files: str
    origin: str
    """What `root` should be, for a refusal."""


KINDS = {
    "imagenet": Naming(
        imagenet_names.SPACE, imagenet_names.naming_plan, "*.JPEG in train, val, test", "the unpacked archive"
    ),
    "faces": Naming(face_names.SPACE, face_names.naming_plan, "*.jpg", "the folder of frames"),
}


def rename(kind, root, target, mode):
    """Copy or move all pictures of `kind` (a key of KINDS) of `root` into `target` under new names, bytes
    unchanged; returns the plan, [(path below root, id)].

    mode: "copy", numbers start at 0; "move", numbers go on after the largest in `target`. Made again after an
    interruption it ends with the same files. A finished copy made again changes nothing, a finished move
    takes what has come to `root` since (returns [] where nothing has). Refusal for a target whose plan is
    another one's, for a copy into a folder that has such pictures of other origin, and for a source that is
    gone.
    """
    if mode not in (COPY, MOVE):
        raise Refusal("mode: expected {} or {}, found {!r}".format(COPY, MOVE, mode))
    naming = KINDS[kind]
    root, target = os.path.abspath(str(root)), str(target)
    os.makedirs(target, exist_ok=True)
    _remove_temporaries(target)
    plan = _read_plan(target, root, mode)
    if plan is None:
        plan = _new_plan(naming, root, target, mode)
    elif mode == COPY and plan != naming.plan(root, 0):
        raise Refusal(
            "{}: the pictures of {} have changed since the copy began: copy into another folder".format(
                target, root
            )
        )
    _apply(plan, root, target, mode)
    if mode == MOVE and plan:  # kept as a record; another move begins a plan of its own
        os.replace(os.path.join(target, PLAN), os.path.join(target, MOVED.format(plan[0][1])))
        sync_folder(target)
    return plan


def _new_plan(naming, root, target, mode):
    first = _next_number(naming.space, target)
    if mode == COPY and first:
        raise Refusal(
            "{}: pictures with new names are there, and no plan of a copy: give an empty folder, or move "
            "(numbers go on there)".format(target)
        )
    plan = naming.plan(root, first)
    if not plan and not first:
        raise Refusal("{}: no pictures {} there: give {}".format(root, naming.files, naming.origin))
    if plan:
        _write_plan(target, root, mode, plan)
    return plan


def _apply(plan, root, target, mode):
    """Carry out what is left of `plan`. None of its ids was taken before: a file there is finished."""
    there = {entry.name for entry in os.scandir(target)}
    for path, sample_id in progress(plan, len(plan), "pictures"):
        source, name = os.path.join(root, path), sample_id + ".jpg"
        done = name in there
        try:
            if mode == MOVE:
                _move(source, os.path.join(target, name), done)
            elif not done:
                _copy(source, os.path.join(target, name))
        except FileNotFoundError:
            raise Refusal(
                "{}: gone, and {} is not there either: put the picture back, or remove {} to number the "
                "pictures anew".format(source, os.path.join(target, name), os.path.join(target, PLAN))
            ) from None


def _copy(source, new):
    with open(source, "rb") as given, replacing(new) as file:
        shutil.copyfileobj(given, file, 1 << 20)


def _move(source, new, done):
    if done:
        if os.path.exists(source):  # copied to another file system, stopped before the source was removed
            _remove_copied(source, new)
        return
    try:
        os.rename(source, new)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, new)
        os.unlink(source)


def _remove_copied(source, new):
    if not filecmp.cmp(source, new, shallow=False):
        raise Refusal("{}: differs from {}, which was made of it: keep one of them".format(source, new))
    os.unlink(source)


def _remove_temporaries(target):
    """What a killed run had half copied."""
    for entry in os.scandir(target):
        if ".tmp-" in entry.name:
            os.unlink(entry.path)


def _next_number(space, target):
    """One more than the largest number of an id in `target`; 0 where there is none."""
    stems = (os.path.splitext(entry.name) for entry in os.scandir(target))
    return max([int(stem[1:]) + 1 for stem, ending in stems if ending == ".jpg" and space.holds(stem)] or [0])


def _write_plan(target, root, mode, plan):
    with replacing(os.path.join(target, PLAN), "w") as file:
        file.write(json.dumps([mode, root, len(plan)]) + "\n")
        for row in plan:
            file.write(json.dumps(row) + "\n")


def _read_plan(target, root, mode):
    """The plan recorded in `target`; None where there is none, Refusal for one of another root or mode."""
    path = os.path.join(target, PLAN)
    try:
        with open(path, encoding="utf-8") as file:
            found_mode, found_root, count = json.loads(file.readline())
            plan = [(source, sample_id) for source, sample_id in map(json.loads, file)]
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise Refusal("{}: not a plan ({}): remove the folder and begin again".format(path, error)) from None
    if (found_mode, found_root, count) != (mode, root, len(plan)):
        raise Refusal(
            "{}: {} of {} pictures of {}, expected to {} those of {}: give another folder".format(
                path, found_mode, len(plan), found_root, mode, root
            )
        )
    return plan
