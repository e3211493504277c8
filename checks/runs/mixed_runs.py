"""Whether the stages behind one number belong to one run: what each took is what the one before it gave.

`dvc.lock` holds, of every stage, the digests of what it took and of what it gave. In one run they meet.
Where they do not, the later stage has either not run again since the earlier one did (a run that is not
finished), or was made by another run (two runs mixed in one folder).
"""

from __future__ import annotations

from pathlib import Path

from checks.fingerprint_file import read_fingerprint
from checks.recipe import read_parameters, recorded_run, section_of
from checks.runs.dvc_lock import behind, read_lock
from checks.runs.integrity import FINGERPRINTS, dvc, is_its_own
from encore.runtime.refusal import Refusal


def unfinished(folder, metric_file, lineage):
    """Why the number in `metric_file` does not rest on the files that are there, None where it does.

    Raises Refusal naming file and key where two runs are mixed. A stage that DVC left alone since its inputs
    came out the same is no objection, however old it is. When a stage ran is told by its fingerprint, and so
    only of one that DVC wrote down: a stage run by hand since is another run than dvc.lock speaks of.
    `lineage`: the metric file's Lineage.
    """
    folder = Path(folder)
    if not (folder / "dvc.lock").is_file():
        _check_seeds(folder, lineage)
        return None
    stages = read_lock(folder)
    given = {
        path: (name, out.get("md5")) for name, stage in stages.items() for path, out in stage.outs.items()
    }
    for name in behind(stages, metric_file):
        for path, digest in stages[name].deps.items():
            producer, wanted = given.get(path, (None, None))
            if wanted is None or wanted == digest:
                continue
            strange = [one for one in (name, producer) if not is_its_own(folder, stages[one])]
            if strange:
                return (
                    f"run outside DVC: the fingerprint of {strange[0]} is not that of dvc.lock, where {name} "
                    f"took another {path} than {producer} gave: {dvc(folder, 'commit', strange[0])} or "
                    f"{dvc(folder, 'repro')}"
                )
            if _ran_after(folder, stages[name], stages[producer]):
                raise Refusal(
                    f"{folder / 'dvc.lock'}: stages.{name}.deps.{path}: two runs are mixed in this folder: "
                    f"{name} ran after {producer}, but on another {path} than {producer} gave: run `dvc "
                    "repro`, or restore one run whole"
                )
            return f"not finished: {name} has not run since {producer} gave another {path}: `dvc repro`"
    return None


def _ran_after(folder, stage, other):
    """Whether a stage ended after another one, by their fingerprints; False where one has none."""
    taken, given = _finished(folder, stage), _finished(folder, other)
    return taken is not None and given is not None and taken > given


def _finished(folder, stage):
    """When a stage ended (UTC text, which sorts by time); None where its fingerprint is not there."""
    for file in stage.outs:
        if file.startswith(FINGERPRINTS) and (folder / file).is_file():
            return read_fingerprint(folder / file)["finished"]
    return None


def _check_seeds(folder, lineage):
    """Without a lock: refuse where some stages behind a number have the seeds of params.yaml, others not."""
    parameters = read_parameters(folder / "params.yaml")
    equal, other = [], []
    for path in lineage.fingerprint_files(folder):
        record = recorded_run(path)
        stated = section_of(parameters, f"{record.get('system')}.{record.get('stage')}")
        if isinstance(stated, dict) and record.get("item") in stated:
            stated = stated[record["item"]]
        for key, seed in _seeds(record.get("parameters") or {}):
            wanted = section_of(stated, key) if isinstance(stated, dict) else None
            if wanted is not None:
                (equal if wanted == seed else other).append((path, key, seed, wanted))
    if equal and other:
        path, key, seed, wanted = other[0]
        raise Refusal(
            f"{path}: parameters.{key}: two runs are mixed in this folder: this stage ran with {seed}, "
            f"{equal[0][0].name} with the {wanted} of params.yaml: run the stages again in one folder"
        )


def _seeds(parameters, prefix=""):
    """(dotted key, seed) of every seed in recorded parameters."""
    for key, value in parameters.items():
        if isinstance(value, dict):
            yield from _seeds(value, f"{prefix}{key}.")
        elif key == "seed":
            yield f"{prefix}{key}", value
