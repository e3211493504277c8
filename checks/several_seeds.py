"""Several runs of one size, each with its own seed: the verdict on their mean, and what they cannot tell."""

from __future__ import annotations

import math
import statistics

from checks.blocked import NOT_ATTEMPTED
from checks.origin import RUN_HERE, fingerprint_of
from checks.tolerance import student_t_cdf
from checks.verdict import BETTER, DEVIATES, REPRODUCED, VERIFIED, bounds, compare, row
from encore.runtime.refusal import Refusal

LEVEL = 0.05
TEST = "one-sided t test of the mean against the nearest bound of the tolerance"


def mean_test(values, low, high):
    """Whether the runs' mean lies outside [`low`, `high`] by more than chance: a mapping, None when inside.

    One-sided Student t of the mean against the nearest bound, in the direction away from the tolerance, with
    n − 1 degrees of freedom: t = (mean − bound) / (s / √n). Values without any spread reject (p = 0).
    """
    mean = statistics.fmean(values)
    if low <= mean <= high:
        return None
    bound = high if mean > high else low
    error = statistics.stdev(values) / math.sqrt(len(values))
    t = abs(mean - bound) / error if error else math.inf
    p = 1 - student_t_cdf(t, len(values) - 1) if error else 0.0
    return {
        "name": TEST,
        "level": LEVEL,
        "bound": bound,
        "t": t if error else None,
        "freedom": len(values) - 1,
        "p": p,
        "rejects": p < LEVEL,
    }


def combine(claim, verdicts):
    """One Verdict on `claim` from those of its runs ({seed: Verdict}, two or more).

    A run without a value, or whose number is not that of the claim, leaves the claim not attempted: the mean
    of the others would be a choice.
    """
    unusable = {
        seed: found
        for seed, found in verdicts.items()
        if found.value is None or found.verdict == NOT_ATTEMPTED
    }
    if unusable:
        kinds = {found.verdict for found in verdicts.values()}
        told = "; ".join(f"run {seed}: {found.detail}" for seed, found in unusable.items())
        return row(claim, None, kinds.pop() if len(kinds) == 1 else NOT_ATTEMPTED, detail=told)
    values = {seed: found.value for seed, found in verdicts.items()}
    mean, spread = statistics.fmean(values.values()), statistics.stdev(values.values())
    runs = {"n": len(values), "values": values, "mean": mean, "spread": spread, "test": None}
    if claim.tolerance.kind == "exact":
        verdict, details = _exact(claim, values)
    else:
        runs["test"] = mean_test(list(values.values()), *bounds(claim))
        verdict, details = _of_mean(claim, mean, runs["test"])
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


def _of_mean(claim, mean, test):
    """(verdict, [detail]) of the mean, which deviates only where the test rejects."""
    verdict = compare(mean, claim)
    if verdict != DEVIATES:
        return verdict, []
    told = f"{test['name']} {test['bound']:g} at level {test['level']}: p = {test['p']:.3g}"
    if test["rejects"]:
        return DEVIATES, [told]
    return NOT_ATTEMPTED, [
        f"outside, but {test['freedom'] + 1} runs cannot tell at level {test['level']} ({told})"
    ]


def check_different(sizes, metric_file):
    """Refuse two folders ({seed: Size}) that hold one run: their fingerprints of a number are equal."""
    seen = {}
    for seed, size in sizes.items():
        path = fingerprint_of(size.folder, metric_file)
        content = path.read_bytes() if path.is_file() else None
        if content is not None and content in seen:
            raise Refusal(
                f"{path}: the run given as {seed} is that of {seen[content]}: give each run once, or it "
                "counts twice"
            )
        seen[content] = seed
