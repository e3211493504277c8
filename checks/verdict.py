"""From one claim and one size folder to a verdict."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass, field

from checks import origin as origins
from checks.blocked import BLOCKED_DATA, NOT_ATTEMPTED, why_missing
from checks.explanation import explained, reference_number, told_by_size
from checks.lineage import lineage
from checks.recipe import recipe_objection
from checks.runs import cause as causes
from checks.runs.mixed_runs import unfinished
from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal

REPRODUCED, BETTER, DEVIATES = "reproduced", "better", "deviates"
VERIFIED, BLOCKED = "verified from artefacts", BLOCKED_DATA
SAME_NUMBER = 1e-9
"""The relative difference within which a number that is computed again is the one in the metric file."""


@dataclass(frozen=True)
class Verdict:
    """One row of verdicts.json; `detail` says why where the verdict alone does not, and what to know of the
    hardware.

    `interval`: [low, high], the bootstrap 95 % interval over what was measured; `runs`: of several seeds n,
    values, mean, spread and test (checks.several_seeds); `why`: the Cause of a deviation or of damage, as a
    mapping; `damaged`: the files behind the number are not what their stages wrote, or contradict each other.
    """

    id: str
    system: str
    title: str
    tier: str
    metric: str
    value: float | None
    expected: float | None
    tolerance: dict
    reason: str
    source: str
    gating: bool
    verdict: str
    origin: str = ""
    detail: str = ""
    evidence: dict = field(default_factory=dict)
    interval: list | None = None
    runs: dict | None = None
    why: dict | None = None
    damaged: bool = False

    @property
    def passes(self):
        """True when the number was measured and holds."""
        return self.verdict in (REPRODUCED, BETTER, VERIFIED)


def read_metric(path, key):
    """The number `key` of a metric file; raises FileNotFoundError, and Refusal where it is no number."""
    try:
        value = read_json_file(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Refusal(f"{path}: cannot be read ({error.strerror}): run its stage again") from None
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path}: not JSON ({error}): run its stage again") from None
    if not isinstance(value, dict) or key not in value:
        raise Refusal(f"{path}: {key}: no such key in this metric file")
    return finite(value[key], f"{path}: {key}")


def finite(number, where):
    """`number`, or a Refusal that names `where` it stands."""
    try:
        known = not isinstance(number, bool) and isinstance(number, (int, float)) and math.isfinite(number)
    except OverflowError:  # a whole number beyond what a float holds
        known = False
    if not known:
        raise Refusal(f"{where}: expected a finite number, found {repr(number)[:60]}")
    return number


def compare(value, claim):
    """`reproduced`, `better` or `deviates`, by the claim's tolerance and the side it calls better."""
    low, high = bounds(claim)
    if low <= value <= high:
        return REPRODUCED
    side = "higher" if value > high else "lower"
    return BETTER if claim.better == side else DEVIATES


def bounds(claim):
    """(low, high), both inclusive: the values that agree with the claim."""
    tolerance, expected = claim.tolerance, claim.expected
    if tolerance.kind == "exact":
        return expected, expected
    if tolerance.kind == "absolute":
        return expected - tolerance.value, expected + tolerance.value
    if tolerance.kind == "interval":
        return tolerance.low, tolerance.high
    return tolerance.low, math.inf


def evidence_of(metric_file):
    """Where the evidence of a metric file lies: `metrics/a/b.json` -> `evidence/a/b.npz`."""
    return "evidence" + metric_file.removeprefix("metrics").removesuffix(".json") + ".npz"


def judge(claim, size, machine=None, from_predictions=False):
    """The verdict on `claim` in `size`; raises Refusal for a metric or fingerprint that cannot be read.

    from_predictions: the number is computed again from the evidence file, and never counts as run here; a
    metric file beside it that says otherwise makes the claim deviate.
    """
    try:
        value = _recomputed(claim, size) if from_predictions else _measured(claim, size)
    except FileNotFoundError:
        file = evidence_of(claim.metric.file) if from_predictions else claim.metric.file
        remedy = "pull the artefacts: `make pull`" if from_predictions else "its stage has not run"
        verdict, detail = why_missing(claim, size, file, remedy)
        return row(claim, None, verdict, detail=detail)
    if claim.expected is None:
        why = "no number was published" if claim.tier == "paper" else "not calibrated: see `encore calibrate`"
        return row(claim, value, NOT_ATTEMPTED, detail=why)
    behind = lineage(size.folder, claim.metric.file)
    objection = recipe_objection(size, behind.sections, behind, claim.recipe)
    objection = objection or unfinished(size.folder, claim.metric.file, behind)
    if objection:
        return row(claim, value, NOT_ATTEMPTED, detail=objection)
    if from_predictions:
        where = origins.stored_origin(size, claim.metric.file, evidence_of(claim.metric.file))
    else:
        where = origins.origin(size.folder, claim.metric.file, behind, machine)
    verdict, details, damage, contradiction = _weighed(claim, size, value, from_predictions)
    if where != origins.RUN_HERE and verdict in (REPRODUCED, BETTER):
        verdict = VERIFIED
    hardware = origins.hardware_objections(size.folder, behind)
    if hardware:
        details.append(f"hardware accepted: {'; '.join(hardware)}")
    measured, unmeasured = _interval(claim, size, from_predictions)
    details += [text for text in (unmeasured, told_by_size(claim, size)) if text]
    return row(
        claim,
        value,
        verdict,
        origin=where,
        detail="; ".join(details),
        evidence=_evidence(claim, size),
        interval=measured,
        why=explained(claim, size, damage, contradiction, verdict == DEVIATES),
        damaged=bool(damage or contradiction),
    )


def _weighed(claim, size, value, from_predictions):
    """(verdict, [detail], damage or None, contradiction or None) of a number: by the tolerance, by whether
    the files behind it are whole, and whether metric file and evidence agree."""
    verdict, details = compare(value, claim), []
    if verdict == DEVIATES and value == reference_number(claim, size):
        details.append("equal to the reference run, which deviates too")
    contradiction = None
    stated = _stated(claim, size) if from_predictions else None
    if stated is not None and abs(stated - value) > SAME_NUMBER * max(abs(stated), abs(value)):
        verdict = DEVIATES
        contradiction = (
            f"{claim.metric.file} says {stated!r}, {evidence_of(claim.metric.file)} gives {value!r}"
        )
        details.append(contradiction)
    damage = causes.broken(size, claim, evidence=from_predictions)
    if damage:
        details.append(damage)
        if verdict != DEVIATES:
            verdict = NOT_ATTEMPTED
    return verdict, details, damage, contradiction


def _measured(claim, size):
    return read_metric(size.folder / claim.metric.file, claim.metric.key)


def _stated(claim, size):
    """The number of the metric file, None without one."""
    try:
        return _measured(claim, size)
    except FileNotFoundError:
        return None


def _recomputed(claim, size):
    """The number computed again from the evidence file; raises FileNotFoundError without one."""
    from checks.evidence import recompute

    path = size.folder / evidence_of(claim.metric.file)
    if not path.is_file():
        raise FileNotFoundError(path)
    return finite(recompute(size, claim), f"{path}: {claim.metric.key}")


def _interval(claim, size, from_predictions):
    """([low, high] of the bootstrap over what was measured, None); (None, why there is none or None) where
    there is no evidence, none of that kind, or none that can be read.

    Only where the number itself comes from the evidence is unreadable evidence a Refusal: one damaged file
    must not keep the claims of all other systems from their verdicts.
    """
    if not (size.folder / evidence_of(claim.metric.file)).is_file():
        return None, None
    from checks.evidence import interval

    try:
        found = interval(size, claim)
    except Refusal as error:
        if from_predictions:
            raise
        return None, f"no interval: {error}"
    return None if found is None else [float(bound) for bound in found], None


def _evidence(claim, size):
    """Which files the number stands in, with their digests."""
    found = {"metric": claim.metric.file}
    for name, file in (("metric", claim.metric.file), ("file", evidence_of(claim.metric.file))):
        path = size.folder / file
        if path.is_file():
            found.update({name: file, f"{name}_sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    return {**found, "fingerprint": str(origins.fingerprint_of("", claim.metric.file))}


def row(claim, value, verdict, **more):
    """The Verdict on `claim` with this value; `more` are the fields that the claim does not hold."""
    tolerance = {key: item for key, item in dataclasses.asdict(claim.tolerance).items() if item is not None}
    return Verdict(
        id=claim.id,
        system=claim.system,
        title=claim.title,
        tier=claim.tier,
        metric=f"{claim.metric.file}: {claim.metric.key}",
        value=value,
        expected=claim.expected,
        tolerance=tolerance,
        reason=claim.reason,
        source=claim.source,
        gating=claim.gating,
        verdict=verdict,
        **more,
    )
