"""--replay-step by a stage's own command line."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile

from encore.training.refused_step import FAULT_FILE
from faults.judged import judged
from faults.processes.launched import Launched

WILD = {"learning_rate": 1e36}
"""The first update sends the weights beyond float32."""


def replay_row(place, size, wild=WILD):
    """The Row of a stage that comes to a fault, and is started with --replay-step; size: a module with
    `build`, MODULE and OUTPUT. wild: values of its section that bring the fault about."""
    with tempfile.TemporaryDirectory() as folder:
        folder = os.path.join(folder, "size")
        size.build(folder, **wild)
        return judged("numerical", place, "fault looked at with --replay-step", lambda: losses(size, folder))


def losses(size, folder):
    """Run the stage in `folder` into its fault and replay it -> texts of what was lost."""
    arguments = getattr(size, "ARGUMENTS", ())
    status, said = Launched(folder, size.MODULE, arguments).finish()
    if status != 2 or "--replay-step" not in said:
        return [f"the run ended with status {status}: {said[-300:]}"]
    with open(_place(folder, FAULT_FILE), encoding="utf-8") as file:
        described = json.load(file)
    at = "{epoch}:{step}".format(**described)
    before = _contents(folder)
    status, said = Launched(folder, size.MODULE, (*arguments, "--replay-step", at)).finish()
    found = []
    if status != 2 or described["fault"] not in said or f"epoch {described['epoch']}, step" not in said:
        found.append(f"--replay-step {at} ended with status {status} and said: {said[-300:]}")
    if not all(picture in said for picture in described["batch"]):
        found.append(f"--replay-step {at} does not name all pictures")
    if os.path.exists(os.path.join(folder, size.OUTPUT)):
        found.append("it published something")
    after = _contents(folder)
    changed = [path for path in sorted({*before, *after}) if before.get(path) != after.get(path)]
    return found + [f"it changed {path}" for path in changed]


def _contents(folder):
    """{path: digest} of all files; not of locks and of what was printed."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            if name != "lock" and not name.startswith("said"):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, folder)] = hashlib.sha256(file.read()).hexdigest()
    return found


def _place(folder, name):
    return next(os.path.join(place, name) for place, _, names in os.walk(folder) if name in names)
