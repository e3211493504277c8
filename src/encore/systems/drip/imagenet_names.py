"""ImageNet's pictures under the names I0000000.jpg, I0000001.jpg, ... (spec drip 1.2).

The whole plan is written down before the first file changes, and each file appears whole or not at all, so a
run that was stopped goes on where it stopped.
"""

from __future__ import annotations

import errno
import filecmp
import glob
import json
import os
import re
import shutil

from encore.runtime.atomic import replacing, sync_folder
from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal
from encore.systems.drip.samples import ID_SPACES

SPLITS = ("train", "val", "test")
"""Folders below the root, in the order of their numbers (published: 1,281,167, 50,000 and 100,000)."""
PLAN = ".imagenet_names.jsonl"
"""In the target folder: a line for the mode, the root and the count, then [source path, id] a picture."""
MOVED = ".imagenet_names.{}.jsonl"
"""The plan of a finished move, by its first id."""
COPY, MOVE = "copy", "move"
FILE_NAME = re.compile(r"(?:.*_)?([^_]*)_([0-9]+)\.JPEG")
SPACE = ID_SPACES["I"]


def naming_plan(root, first=0):
    """[(path of the source below `root`, new id)] of all `**/*.JPEG` of the splits, from number `first` on.

    A name ends in `<a>_<number>.JPEG`. Order in a split: `a` without its first character as text (the digits
    of a WordNet id; the same for all pictures of val and of test), the number, the path. Refusal, naming it,
    for a missing split, a name without such an end, and more pictures than there are ids.
    """
    return numbered(root, {split: _found(str(root), split) for split in SPLITS}, first)


def numbered(root, paths, first=0):
    """[(path, new id)] of the pictures of the splits in their order, from number `first` on.

    paths: {split: its paths below `root`}. Refusal as naming_plan, `root` being the name in it.
    """
    ordered = [
        path for split in SPLITS for path in sorted(paths[split], key=lambda path: _order(str(root), path))
    ]
    if first + len(ordered) > 10**SPACE.digits:
        raise Refusal(
            "{}: {} pictures from number {} on, expected fewer than {}: give an emptier folder".format(
                root, len(ordered), first, 10**SPACE.digits
            )
        )
    return [(path, SPACE.sample_id(first + i)) for i, path in enumerate(ordered)]


def _found(root, split):
    if not os.path.isdir(os.path.join(root, split)):
        raise Refusal(
            "{}: no folder {}: expected {} there (an empty one will do)".format(
                root, split, ", ".join(SPLITS)
            )
        )
    found = glob.glob(os.path.join(glob.escape(root), split, "**", "*.JPEG"), recursive=True)
    return [os.path.relpath(path, root) for path in found]


def _order(root, path):
    fields = FILE_NAME.fullmatch(os.path.basename(path))
    if fields is None:
        raise Refusal(
            "{}: expected a name like n01440764_10026.JPEG: move other files away".format(
                os.path.join(root, path)
            )
        )
    return fields.group(1)[1:], int(fields.group(2)), path


def rename_imagenet(root, target, mode):
    """Copy or move all pictures of `root` into `target` under new names, bytes unchanged; returns the plan,
    [(path below root, id)].

    mode: "copy", numbers start at 0; "move", numbers go on after the largest in `target`. Made again after an
    interruption it ends with the same files. A finished copy made again changes nothing, a finished move
    takes what has come to `root` since (returns [] where nothing has). Refusal for a target whose plan is
    another one's, for a copy into a folder that has such pictures of other origin, and for a source that is
    gone.
    """
    if mode not in (COPY, MOVE):
        raise Refusal("mode: expected {} or {}, found {!r}".format(COPY, MOVE, mode))
    root, target = os.path.abspath(str(root)), str(target)
    os.makedirs(target, exist_ok=True)
    _remove_temporaries(target)
    plan = _read_plan(target, root, mode)
    if plan is None:
        plan = _new_plan(root, target, mode)
    elif mode == COPY and plan != naming_plan(root):
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


def _new_plan(root, target, mode):
    first = _next_number(target)
    if mode == COPY and first:
        raise Refusal(
            "{}: pictures with new names are there, and no plan of a copy: give an empty folder, or move "
            "(numbers go on there)".format(target)
        )
    plan = naming_plan(root, first)
    if not plan and not first:
        raise Refusal(
            "{}: no pictures *.JPEG in {}: give the unpacked archive".format(root, ", ".join(SPLITS))
        )
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


def _next_number(target):
    """One more than the largest number of an id in `target`; 0 where there is none."""
    stems = (os.path.splitext(entry.name) for entry in os.scandir(target))
    return max([int(stem[1:]) + 1 for stem, ending in stems if ending == ".jpg" and SPACE.holds(stem)] or [0])


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
