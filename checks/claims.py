"""Claims: published numbers with their tolerance and its reason, one YAML file per system."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from checks.fields import read_fields
from checks.yaml_file import read_yaml
from encore.runtime.refusal import Refusal

TIERS = ("mini", "paper")
KINDS = {"exact": (), "absolute": ("value",), "interval": ("low", "high"), "at_least": ("low",)}


@dataclass(frozen=True)
class Metric:
    """Where the number stands: a JSON `file` below the size folder, its `key`, and what it counts."""

    file: str
    key: str
    definition: str


@dataclass(frozen=True)
class Trivial:
    """What is reached without training: a number, or a `key` of a metric `file`."""

    value: float | None = None
    file: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Tolerance:
    """Which values agree: equal (exact), within ±`value` (absolute), in [`low`, `high`], or from `low` up."""

    kind: str
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Seeds:
    """The runs a mini claim was calibrated on: value per seed, and the level of its interval, in (0, 1)."""

    values: dict[str, float]
    level: float


@dataclass(frozen=True)
class Claim:
    """One number: what was stated, where, within which tolerance and why, and what it takes to measure it.

    `expected` None means not calibrated yet, of the published size that no number was published. `better`
    (higher | lower) names a side on which a value outside the tolerance is better; without it both sides
    deviate. `inputs` are data sets without which the claim is blocked. `recipe`: what it was stated for where
    that is not the size's recipe, dotted key of params.yaml -> value; such a claim informs, since one run has
    one recipe.
    """

    id: str
    system: str
    title: str
    tier: str
    metric: Metric
    expected: float | None
    tolerance: Tolerance
    reason: str
    source: str
    gating: bool
    command: str
    hardware: str
    hours: float
    disk: str
    better: str | None = None
    trivial: Trivial | None = None
    inputs: tuple[str, ...] = ()
    seeds: Seeds | None = None
    recipe: dict[str, object] = field(default_factory=dict)


def read_claims(path):
    """The claims of one file, in order; raises Refusal naming file and key path."""
    path = Path(path)
    rows = read_yaml(path, "no such claim file")
    if not isinstance(rows, list) or not rows:
        raise Refusal(f"{path}: expected a list of claims")
    return [_read_claim(row, f"{path}: [{number}]", path.stem) for number, row in enumerate(rows)]


def read_all_claims(folder):
    """The claims of every `*.yaml` in `folder` that holds a list of claims; an id used twice is refused."""
    claims = [claim for path in claim_files(folder) for claim in read_claims(path)]
    repeated = [name for name, count in Counter(claim.id for claim in claims).items() if count > 1]
    if repeated:
        raise Refusal(f"{folder}: the claim id {repeated[0]} is used twice")
    return claims


def claim_files(folder):
    """The claim files of `folder`, sorted: every YAML but the frozen recipes (`*_params.yaml`)."""
    files = sorted(path for path in Path(folder).glob("*.yaml") if not path.stem.endswith("_params"))
    if not files:
        raise Refusal(f"{folder}: no claim files here")
    return files


def _read_claim(row, where, system):
    claim = read_fields(Claim, row, where)
    where = f"{where} ({claim.id})"
    if claim.system != system:
        raise Refusal(f"{where}.system: {claim.system!r} in the file of {system!r}")
    if claim.tier not in TIERS:
        raise Refusal(f"{where}.tier: expected one of {', '.join(TIERS)}, found {claim.tier!r}")
    if claim.better not in (None, "higher", "lower"):
        raise Refusal(f"{where}.better: expected higher or lower, found {claim.better!r}")
    for key in ("reason", "source", "title"):
        if not getattr(claim, key).strip():
            raise Refusal(f"{where}.{key}: a claim without a {key} is not accepted")
    _check_tolerance(claim.tolerance, where)
    if claim.recipe and claim.gating:
        raise Refusal(f"{where}.gating: a claim of another recipe informs: state gating: false")
    if claim.trivial is not None:
        _check_trivial(claim.trivial, where)
    return claim


def _check_tolerance(tolerance, where):
    if tolerance.kind not in KINDS:
        raise Refusal(f"{where}.tolerance.kind: expected one of {', '.join(KINDS)}, found {tolerance.kind!r}")
    for key in ("value", "low", "high"):
        wanted, found = key in KINDS[tolerance.kind], getattr(tolerance, key) is not None
        if wanted != found:
            raise Refusal(
                f"{where}.tolerance.{key}: {'missing' if wanted else 'has no meaning'} "
                f"for kind {tolerance.kind}"
            )
    if tolerance.kind == "absolute" and tolerance.value < 0:
        raise Refusal(f"{where}.tolerance.value: expected 0 or more, found {tolerance.value}")
    if tolerance.kind == "interval" and tolerance.low > tolerance.high:
        raise Refusal(f"{where}.tolerance: low {tolerance.low} is above high {tolerance.high}")


def _check_trivial(trivial, where):
    from_file = trivial.file is not None and trivial.key is not None
    if from_file == (trivial.value is not None) or (trivial.file is None) != (trivial.key is None):
        raise Refusal(f"{where}.trivial: expected either value, or file and key")
