"""What is said beside a verdict: what became of the files behind a number, and why it deviates."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from checks.runs import cause as causes
from checks.runs.difference import DATA
from checks.runs.dvc_lock import read_lock
from checks.runs.integrity import sized_only
from checks.runs.reference import stored_reference
from encore.runtime.refusal import Refusal


def explained(claim, size, damage, contradiction, deviates):
    """The Cause of damage, of a contradiction or of a deviation, as a mapping; None where there is none of
    them, or nothing is known of the last.

    damage: the sentence of `checks.runs.cause.broken`; contradiction: one on a metric file and its evidence.
    """
    if damage is None and contradiction is None:
        found = causes.why(size, claim) if deviates else None
    elif damage is None:
        found = _of_data(claim, size, contradiction)
    else:
        try:
            found = causes.why(size, claim) or _of_data(claim, size, damage)
        except Refusal as error:  # what is damaged may not be readable any more; the other claims are
            found = _of_data(claim, size, f"{damage}; {error}")
    return None if found is None else dataclasses.asdict(found)


def reference_number(claim, size):
    """The number of a claim in the stored reference run, None where it has none."""
    reference = stored_reference(size)
    for stage in () if reference is None else reference.stages.values():
        if claim.metric.file in stage.metrics:
            return stage.metrics[claim.metric.file].get(claim.metric.key)
    return None


def told_by_size(claim, size):
    """Which outputs behind a number were too large to hash, as text; None where all that are there were."""
    if not (size.folder / "dvc.lock").is_file():
        return None
    paths = sized_only(size.folder, claim.metric.file)
    return f"told by size alone: {', '.join(paths)}" if paths else None


def _of_data(claim, size, text):
    return causes.Cause(_writer(claim, size), DATA, text, {DATA: [text]})


def _writer(claim, size):
    """The stage that wrote a claim's metric file: by dvc.lock, else by the name of the file."""
    if (size.folder / "dvc.lock").is_file():
        for name, stage in read_lock(size.folder).items():
            if claim.metric.file in stage.outs:
                return name
    return "_".join(Path(claim.metric.file).with_suffix("").parts[1:3])
