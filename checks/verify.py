"""`encore verify`: every claim of a size becomes a verdict, and the exit status says whether they hold."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from checks.claims import read_all_claims
from checks.origin import RUN_HERE
from checks.several_seeds import check_different, combine
from checks.size import Size
from checks.verdict import judge
from checks.verdict_text import number_text, tolerance_text
from encore.runtime.atomic import write_json
from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal

__all__ = [
    "check_output",
    "failures",
    "number_text",
    "rows_of",
    "runs_of",
    "tolerance_text",
    "verdicts_path",
    "verify",
    "verify_runs",
    "write_verdicts",
]


def verify(size, machine=None, from_predictions=False):
    """The verdicts on all claims of the size's tier, in the order of the claim files."""
    return [judge(claim, size, machine, from_predictions) for claim in _claims_of(size)]


def verify_runs(size, runs, machine=None, from_predictions=False):
    """The verdicts on the size's claims from several runs of it, {seed: folder}; one run is judged alone."""
    sizes = {seed: Size(_run(folder, seed), size.tier, size.claims) for seed, folder in runs.items()}
    if len(sizes) == 1:
        return verify(next(iter(sizes.values())), machine, from_predictions)
    verdicts = []
    for claim in _claims_of(size):
        check_different(sizes, claim.metric.file, drawn=claim.tolerance.kind != "exact")
        found = {seed: judge(claim, run, machine, from_predictions) for seed, run in sizes.items()}
        verdicts.append(combine(claim, found))
    return verdicts


def runs_of(named=(), parent=None):
    """{seed: folder} of `SEED=FOLDER` texts (a folder alone is called by its name), and of the run folders
    in `parent`."""
    runs = {}
    found = [] if parent is None else sorted(path.parent for path in Path(parent).glob("*/params.yaml"))
    if parent is not None and not found:
        raise Refusal(f"{parent}: no runs there: expected folders with a params.yaml and metrics")
    for text in [*named, *map(str, found)]:
        seed, equals, folder = text.partition("=")
        if not equals:
            seed, folder = Path(text).resolve().name, text
        if not seed or not folder or seed in runs:
            raise Refusal(f"{text}: expected SEED=FOLDER, each with a name of its own, e.g. 1=/runs/seed1")
        runs[seed] = Path(folder)
    places = {}
    for seed, folder in runs.items():
        if folder.resolve() in places:
            raise Refusal(f"{folder}: given as run {places[folder.resolve()]} and as {seed}: give it once")
        places[folder.resolve()] = seed
    return runs


def verdicts_path(size):
    return size.folder / "report" / "verdicts.json"


def rows_of(verdicts):
    """The verdicts as verdicts.json holds them."""
    return [dataclasses.asdict(verdict) for verdict in verdicts]


def check_output(path, option):
    """Refuse a `path` (or None) given with `option` where no file can be written, before judging."""
    if path is None:
        return
    path = Path(path)
    if path.is_dir():
        raise Refusal(f"{path}: {option}: a folder: name a file in it")
    above = next((folder for folder in path.parents if folder.exists()), None)
    if above is not None and not above.is_dir():
        raise Refusal(f"{path}: {option}: {above} is a file, not a folder: name another place")


def write_verdicts(size, verdicts, from_predictions=False):
    """Write `<size>/report/verdicts.json` and return its path.

    Those `from_predictions` do not replace the verdicts of a run made here: they stand beside them then.
    """
    path = verdicts_path(size)
    if from_predictions and _of_a_run_here(path):
        path = path.with_name("verdicts_from_predictions.json")
    write_json(path, rows_of(verdicts))
    return path


def _of_a_run_here(path):
    try:
        rows = read_json_file(path)
        return any(row.get("origin") == RUN_HERE for row in rows)
    except (OSError, ValueError, AttributeError, TypeError):  # nothing there that could be lost
        return False


def failures(verdicts):
    """The gating claims that deviate or have no value: what makes the exit status 1."""
    return [verdict for verdict in verdicts if verdict.gating and not verdict.passes]


def _claims_of(size):
    claims = [claim for claim in read_all_claims(size.claims) if claim.tier == size.tier]
    if not claims:
        raise Refusal(f"{size.claims}: no claim of tier {size.tier} for {size.folder}")
    return claims


def _run(folder, seed):
    if not folder.is_dir():
        raise Refusal(f"{folder}: no such folder; run {seed} is a folder with metrics, as a size has them")
    return folder
