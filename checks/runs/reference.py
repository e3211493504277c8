"""The stored reference run: the record of a run that the deviations of later ones are explained by."""

from __future__ import annotations

import os
from functools import lru_cache

from checks.runs.run_record import RunRecord
from encore.runtime.refusal import Refusal


def reference_file(size):
    """Where the reference run of a Size is stored: beside the claims."""
    name = "published" if size.tier == "paper" else "mini"
    return size.claims / "reference" / f"{name}.json"


def stored_reference(size):
    """The RunRecord of the stored reference run; None where there is none."""
    path = reference_file(size)
    if not path.is_file():
        return None
    found = os.stat(path)
    return _read(path, (found.st_size, found.st_mtime_ns, found.st_ino))


@lru_cache(maxsize=2)  # every claim that deviates asks for it
def _read(path, stamp):
    return RunRecord.of_file(path)


def write_reference(size, path=None):
    """Write the record of the run in a Size to `path` (None: its stored reference); returns the path.

    Raises Refusal for a run whose files were changed since, or of which a metric or fingerprint is missing:
    what later runs are measured by has to be whole.
    """
    path = path or reference_file(size)
    record = RunRecord.of_folder(size.folder)
    for text in record.changed.values():
        raise Refusal(f"{size.folder}: {text}: run its stage again before this run becomes a reference")
    for stage in record.stages.values():
        for out in stage.outs:
            if out.startswith(("metrics/", "fingerprints/")) and not (size.folder / out).is_file():
                raise Refusal(f"{size.folder / out}: missing: run its stage again (`dvc repro`)")
    record.write(path)
    return path
