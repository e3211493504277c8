"""Several runs of one size, each with its own seed: the verdict on their mean, and what they cannot tell."""

from __future__ import annotations

import itertools
import math
import statistics

from checks.blocked import BLOCKED_STATES, NOT_ATTEMPTED
from checks.fingerprint_file import read_fingerprint
from checks.lineage import lineage
from checks.origin import RUN_HERE, fingerprint_of
from checks.recipe import HELD_OUT
from checks.runs.difference import SEEDS
from checks.runs.dvc_lock import flat
from checks.tolerance import student_t_cdf
from checks.verdict import BETTER, DEVIATES, REPRODUCED, VERIFIED, bounds, compare, row
from encore.runtime.refusal import Refusal

LEVEL = 0.05
TEST = "one-sided t test of the mean against the nearest bound of the tolerance"


def mean_test(values, low, high):
    """Whether the runs' mean lies outside [`low`, `high`] by more than chance: a mapping; None when inside,
    and for values without any spread, from which nothing can be told.

    One-sided Student t of the mean against the nearest bound, in the direction away from the tolerance, with
    n − 1 degrees of freedom: t = (mean − bound) / (s / √n).
    """
    mean = statistics.fmean(values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    if low <= mean <= high or not error:
        return None
    bound = high if mean > high else low
    t = abs(mean - bound) / error
    p = 1 - student_t_cdf(t, len(values) - 1)
    return {
        "name": TEST,
        "level": LEVEL,
        "bound": bound,
        "t": t,
        "freedom": len(values) - 1,
        "p": p,
        "rejects": p < LEVEL,
    }


def combine(claim, verdicts):
    """One Verdict on `claim` from those of its runs ({seed: Verdict}, two or more).

    A run without a value, whose number is not that of the claim, or whose files are damaged leaves the claim
    not attempted: the mean of the others would be a choice.
    """
    unusable = {
        seed: found
        for seed, found in verdicts.items()
        if found.value is None or found.verdict == NOT_ATTEMPTED or found.damaged
    }
    if unusable:
        return _without_mean(claim, verdicts, unusable)
    values = {seed: found.value for seed, found in verdicts.items()}
    mean, spread = statistics.fmean(values.values()), statistics.stdev(values.values())
    runs = {"n": len(values), "values": values, "mean": mean, "spread": spread, "test": None}
    if claim.tolerance.kind == "exact":
        verdict, details = _exact(claim, values)
    else:
        runs["test"] = mean_test(list(values.values()), *bounds(claim))
        verdict, details = _of_mean(claim, list(values.values()), mean, runs["test"])
    origins = list(dict.fromkeys(found.origin for found in verdicts.values()))
    if origins != [RUN_HERE] and verdict in (REPRODUCED, BETTER):
        verdict = VERIFIED
    details += list(dict.fromkeys(found.detail for found in verdicts.values() if found.detail))
    return row(
        claim,
        mean,
        verdict,
        origin="; ".join(origins),
        detail="; ".join(details),
        evidence={seed: found.evidence for seed, found in verdicts.items()},
        runs=runs,
        why=next((found.why for found in verdicts.values() if found.why), None)
        if verdict == DEVIATES
        else None,
    )


def _exact(claim, values):
    """(verdict, [detail]) of a number that no draw changes: every run must have it."""
    other = {seed: value for seed, value in values.items() if value != claim.expected}
    if not other:
        return REPRODUCED, []
    seed, value = next(iter(other.items()))
    return DEVIATES, [f"run {seed} has {value!r}, and {len(values) - len(other)} of {len(values)} runs agree"]


def _without_mean(claim, verdicts, unusable):
    """The Verdict where some runs are unusable ({seed: Verdict}): blocked where all are so alike, else not
    attempted; it names each of them, and carries what is known of the first that is damaged."""
    kinds = {found.verdict for found in verdicts.values()}
    verdict = kinds.pop() if len(kinds) == 1 and kinds <= {*BLOCKED_STATES} else NOT_ATTEMPTED
    told = "; ".join(f"run {seed}: {found.detail}" for seed, found in unusable.items())
    damaged = {seed: found for seed, found in unusable.items() if found.damaged}
    why = None
    for seed, found in damaged.items():
        if found.why:
            why = {**found.why, "text": f"run {seed}: {found.why['text']}"}
            break
    return row(claim, None, verdict, detail=told, why=why, damaged=bool(damaged))


def _of_mean(claim, values, mean, test):
    """(verdict, [detail]) of the mean, which lies outside on either side only where the test rejects."""
    verdict, count = compare(mean, claim), len(values)
    if len({*values}) == 1:
        told = f"the {count} runs have no spread, all gave {values[0]!r}: were they drawn anew?"
        return (REPRODUCED if verdict == REPRODUCED else NOT_ATTEMPTED), [told]
    if verdict == REPRODUCED:
        return verdict, []
    told = f"{test['name']} {test['bound']:g} at level {test['level']}: p = {test['p']:.3g}"
    if test["rejects"]:
        return verdict, [told]
    return NOT_ATTEMPTED, [f"outside, but {count} runs cannot tell at level {test['level']} ({told})"]


def check_different(sizes, metric_file, drawn=True):
    """Refuse two folders ({seed: Size}) that hold one run: their fingerprints of a number are equal or, of a
    number that is `drawn`, all seeds that the stages behind it recorded."""
    seen, drawn_with = {}, {}
    for seed, size in sizes.items():
        path = fingerprint_of(size.folder, metric_file)
        content = path.read_bytes() if path.is_file() else None
        if content is not None and content in seen:
            raise Refusal(
                f"{path}: the run given as {seed} is that of {seen[content]}: give each run once, or it "
                "counts twice"
            )
        seen[content] = seed
        if drawn:
            drawn_with[seed] = _recorded_seeds(size.folder, metric_file)
    for (one, seeds), (other, others) in itertools.combinations(drawn_with.items(), 2):
        common = sorted(seeds.keys() & others.keys())
        if common and all(seeds[key] == others[key] for key in common):
            file, key = common[0]
            raise Refusal(
                f"{sizes[other].folder / file}: {key}: the run given as {other} has the seed of {one} "
                f"({seeds[common[0]]}), as in all stages behind {metric_file}: change seed in "
                "params.yaml, or one seed counts twice"
            )


def _recorded_seeds(folder, metric_file):
    """{(fingerprint, dotted key): seed} of the stages behind a metric file: their own, and those among their
    parameters but for the ones that say which held-out queries are measured."""
    found = {}
    for path in lineage(folder, metric_file).fingerprint_files(folder):
        record = read_fingerprint(path)
        stated = {"seed": record.get("seed"), "parameters": record.get("parameters")}
        for key, value in flat({name: item for name, item in stated.items() if item is not None}).items():
            parts = key.split(".")
            if parts[-1] in SEEDS and HELD_OUT not in parts:
                found[path.relative_to(folder).as_posix(), key] = value
    return found
