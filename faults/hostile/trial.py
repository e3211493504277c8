"""One hostile file read by one reader, and what of its promise was broken."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from faults.hostile.case import CANARY, CODE, OUTSIDE, SECRET
from faults.hostile.isolation import MEMORY, SECONDS

INSIDE = "inside"


def trial(isolation, reader, case, folder):
    """(what is wrong in one line, or None; Outcome) of `reader` on a Case, tried below the empty `folder`."""
    place = folder / INSIDE
    place.mkdir(parents=True)
    sample = reader.sample(place)
    path = case.make(sample, folder) or sample
    before = _around(folder)
    outcome = isolation.read(reader.name, path)
    wrong = broken(case, outcome, reader.lenient)
    if wrong is None and _around(folder) != before:
        wrong = "something was written outside the folder of the file"
    shutil.rmtree(folder)
    return wrong, outcome


def broken(case, outcome, lenient=""):
    """What of the promise an Outcome breaks, or None: no code run, nothing started or written elsewhere, an
    end within SECONDS and MEMORY, and a refusal where the case may not be read."""
    if outcome.deeds:
        return "; ".join(outcome.deeds)
    if outcome.end in ("failed", "killed"):
        return outcome.text
    may_be_read = case.harmless or (lenient and case.family not in (CODE, OUTSIDE))
    if outcome.end == "returned" and not may_be_read:
        return "it was read, expected a refusal"
    if outcome.seconds > SECONDS or outcome.memory > MEMORY:
        return f"{outcome.seconds:.1f} s, {outcome.memory >> 20} MiB"
    return None


def _around(folder):
    """Everything beside the folder of the file, with the content of what links lead to."""
    found = {}
    for place, folders, names in os.walk(folder):
        if place == str(folder):
            folders.remove(INSIDE)
        for name in [*folders, *names]:
            path = os.path.join(place, name)
            secret = os.path.isfile(path) and name in (SECRET, CANARY)
            found[path] = Path(path).read_bytes() if secret else None
    return found
