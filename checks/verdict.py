"""From one claim and one size folder to a verdict."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field

from checks import origin as origins
from checks.lineage import lineage
from checks.recipe import recipe_objection
from encore.runtime.refusal import Refusal

REPRODUCED, BETTER, DEVIATES = "reproduced", "better", "deviates"
VERIFIED, BLOCKED, NOT_ATTEMPTED = "verified from artefacts", "blocked (data)", "not attempted"


@dataclass(frozen=True)
class Verdict:
    """One row of verdicts.json; `detail` says why where the verdict alone does not, and what to know of the
    hardware."""

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

    @property
    def passes(self):
        """True when the number was measured and holds."""
        return self.verdict in (REPRODUCED, BETTER, VERIFIED)


def read_metric(path, key):
    """The number `key` of a metric file; raises FileNotFoundError, and Refusal where it is no number."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Refusal(f"{path}: not JSON ({error}): run its stage again") from None
    if not isinstance(value, dict) or key not in value:
        raise Refusal(f"{path}: {key}: no such key in this metric file")
    number = value[key]
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
        raise Refusal(f"{path}: {key}: expected a finite number, found {number!r}")
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


def judge(claim, size, machine=None):
    """The verdict on `claim` in `size`; raises Refusal for a metric or fingerprint that cannot be read."""
    path = size.folder / claim.metric.file
    try:
        value = read_metric(path, claim.metric.key)
    except FileNotFoundError:
        lacking = [name for name in claim.inputs if not (size.folder / "inputs" / f"{name}.json").is_file()]
        if lacking:
            return _row(claim, None, BLOCKED, detail=f"missing {', '.join(lacking)}: see `encore data`")
        return _row(claim, None, NOT_ATTEMPTED, detail=f"no {claim.metric.file}: its stage has not run")
    if claim.expected is None:
        why = "no number was published" if claim.tier == "paper" else "not calibrated: see `encore calibrate`"
        return _row(claim, value, NOT_ATTEMPTED, detail=why)
    behind = lineage(size.folder, claim.metric.file)
    objection = recipe_objection(size, behind.sections, behind, claim.recipe)
    if objection:
        return _row(claim, value, NOT_ATTEMPTED, detail=objection)
    where = origins.origin(size.folder, claim.metric.file, behind, machine)
    hardware = origins.hardware_objections(size.folder, behind)
    detail = f"hardware accepted: {'; '.join(hardware)}" if hardware else ""
    verdict = compare(value, claim)
    if where != origins.RUN_HERE and verdict in (REPRODUCED, BETTER):
        verdict = VERIFIED
    evidence = {
        "metric": claim.metric.file,
        "metric_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "fingerprint": str(origins.fingerprint_of("", claim.metric.file)),
    }
    return _row(claim, value, verdict, origin=where, detail=detail, evidence=evidence)


def _row(claim, value, verdict, **more):
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
