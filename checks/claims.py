"""Claims: published numbers with their tolerance and its reason, one YAML file per system."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from pathlib import Path

from checks.fields import read_fields
from checks.tolerance import BASES, derived, prediction_interval, stated_width
from checks.yaml_file import read_yaml
from encore.runtime.refusal import Refusal

TIERS = ("mini", "paper")
KINDS = {"exact": (), "absolute": ("value",), "interval": ("low", "high"), "at_least": ("low",)}

SEED_DIGITS = 6
"""Decimals in which `encore calibrate` writes expected values and tolerances."""


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
class Basis:
    """What the width of a tolerance is taken from: one of BASES, with the numbers of those that are computed.

    published spread: `times` the published standard `deviation`, or that of the published `values`. finite
    sample: the difference of two shares (or means of values in [0, 1]), the published one over `published`
    queries, pairs or pictures and the new one over `run`, at the two-sided `level`; `scale` 100 for percent.
    The tolerance is that width in two digits; another one is refused. own seeds: it is the prediction
    interval of the claim's seeds in SEED_DIGITS decimals.
    """

    kind: str
    deviation: float | None = None
    values: tuple[float, ...] = ()
    times: float | None = None
    published: int | None = None
    run: int | None = None
    level: float | None = None
    scale: float | None = None


@dataclass(frozen=True)
class Gpu:
    """The least that a claim's stages run on: `count` devices of `memory_gb` (10^9 bytes; None: any)."""

    count: int
    memory_gb: float | None = None


@dataclass(frozen=True)
class Seeds:
    """The runs a mini claim was calibrated on: value per seed, and the level of its interval, in (0, 1)."""

    values: dict[str, float]
    level: float


@dataclass(frozen=True)
class Claim:
    """One number: what was stated, where, within which tolerance and why, and what it takes to measure.

    `expected` None means not calibrated yet, of the published size that no number was published. `better`
    (higher | lower) names a side on which a value outside the tolerance is better; without it both sides
    deviate. `inputs` are data sets without which the claim is blocked, `gpu` the devices without which it
    is. `basis`: which kind of reason the tolerance has. `recipe`: what it was stated for where that is not
    the size's recipe, dotted key of params.yaml -> value; such a claim informs, since one run has one recipe.
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
    basis: Basis
    better: str | None = None
    trivial: Trivial | None = None
    inputs: tuple[str, ...] = ()
    seeds: Seeds | None = None
    gpu: Gpu | None = None
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
    claims, places = [], {}
    for path in claim_files(folder):
        for number, claim in enumerate(read_claims(path)):
            place = f"{path}: [{number}].id"
            if claim.id in places:
                raise Refusal(
                    f"{place}: the claim id {claim.id} is used twice, first at {places[claim.id]}: "
                    "give each claim its own"
                )
            places[claim.id] = place
            claims.append(claim)
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
    for key in ("id", "reason", "source", "title", "command", "hardware", "disk"):
        if not getattr(claim, key).strip():
            article = "an" if key == "id" else "a"
            raise Refusal(f"{where}.{key}: a claim without {article} {key} is not accepted")
    if claim.hours < 0:
        raise Refusal(f"{where}.hours: expected 0 or more, found {claim.hours}")
    _check_metric(claim, where)
    _check_tolerance(claim.tolerance, where)
    if claim.recipe and claim.gating:
        raise Refusal(f"{where}.gating: a claim of another recipe informs: state gating: false")
    if claim.trivial is not None:
        _check_trivial(claim.trivial, where)
    _check_basis(claim, where)
    if claim.basis.kind == "own seeds" and claim.expected is not None:
        _check_seeds(claim, where)
    return claim


def _check_metric(claim, where):
    file = Path(claim.metric.file)
    if file.parts[:1] != ("metrics",) or file.suffix != ".json" or ".." in file.parts:
        raise Refusal(
            f"{where}.metric.file: expected metrics/<system>/<stage>.json, found {claim.metric.file!r}"
        )
    for key in ("key", "definition"):
        if not getattr(claim.metric, key).strip():
            raise Refusal(f"{where}.metric.{key}: a claim without it is not accepted")
    gpu = claim.gpu
    if gpu is not None and (gpu.count < 1 or (gpu.memory_gb is not None and gpu.memory_gb <= 0)):
        raise Refusal(f"{where}.gpu: expected a count of 1 or more, and memory above 0 or none, found {gpu}")


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


def _check_basis(claim, where):
    """That the basis has the numbers of its kind, and the tolerance is what they give."""
    basis = claim.basis
    if basis.kind not in BASES:
        raise Refusal(f"{where}.basis.kind: expected one of {', '.join(BASES)}, found {basis.kind!r}")
    if basis.kind == "count" and claim.tolerance.kind == "absolute":
        raise Refusal(f"{where}.basis.kind: a count is exact, in an interval or at least, not absolute")
    if (basis.kind == "nothing published") != (claim.expected is None and claim.tier == "paper"):
        raise Refusal(f"{where}.basis.kind: nothing published is for paper claims without an expected value")
    try:
        width = derived(basis, claim.expected)
    except ValueError as error:
        raise Refusal(f"{where}.basis.{error}") from None
    if width is None:
        return
    stated = stated_width(width)
    if claim.tolerance.kind != "absolute" or not math.isclose(claim.tolerance.value, stated, rel_tol=1e-9):
        raise Refusal(
            f"{where}.tolerance: its basis ({basis.kind}) gives absolute, value {stated} ({width:.6g} in two "
            f"digits), found {claim.tolerance.kind}, {claim.tolerance.value}: state the former"
        )


def _check_seeds(claim, where):
    """That the tolerance is the prediction interval of the claim's own seeds, and their mean is expected."""
    seeds, tolerance = claim.seeds, claim.tolerance
    if seeds is None:
        raise Refusal(f"{where}.seeds: missing: leave expected empty and run `encore calibrate`")
    if not 0 < seeds.level < 1:
        raise Refusal(f"{where}.seeds.level: expected a number in (0, 1), found {seeds.level}")
    try:
        low, high = prediction_interval(seeds.values.values(), seeds.level)
    except Refusal as error:
        raise Refusal(f"{where}.seeds.values: {error}") from None
    wanted = {"low": low, "high": high, "expected": statistics.fmean(seeds.values.values())}
    found = {"low": tolerance.low, "high": tolerance.high, "expected": claim.expected}
    for key, number in wanted.items():
        if found[key] is None or abs(found[key] - number) > 0.51 * 10**-SEED_DIGITS:
            place = "expected" if key == "expected" else f"tolerance.{key}"
            raise Refusal(
                f"{where}.{place}: its seeds give {number:.{SEED_DIGITS}f}, found {found[key]}: restore it, "
                "or leave expected empty and run `encore calibrate`"
            )
