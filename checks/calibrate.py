"""`encore calibrate`: expected values and tolerances of mini claims, from seed runs instead of by hand."""

from __future__ import annotations

import statistics
from pathlib import Path

from ruamel.yaml import YAML

from checks.claims import read_all_claims, read_claims
from checks.recipe import altered_keys, freeze, read_parameters
from checks.tolerance import FAMILY_ERROR, family_level, is_informative_only, prediction_interval
from checks.verdict import read_metric
from encore.runtime.atomic import replacing, write_json
from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal


def seeds_path(claims, system):
    return Path(claims) / "seeds" / f"{system}.json"


def read_seeds(claims, system):
    """{claim id: {"value": {seed: number}, "trivial": {seed: number}}}, empty when nothing is stored yet."""
    path = seeds_path(claims, system)
    return read_json_file(path) if path.is_file() else {}


def collect(claims, system, runs):
    """Take the metrics of `runs` ({seed: size folder}) into the stored seed values, and return all of them.

    The runs must have equal parameters (but for machine keys such as the seed); these are frozen beside the
    claims as mini_params.yaml. Values of runs with other parameters than those stored are not mixed in: they
    replace them.
    """
    mini = _mini_claims(claims, system)
    parameters = _common_parameters(system, runs)
    frozen = Path(claims) / "mini_params.yaml"
    known = read_parameters(frozen) if frozen.is_file() else {}
    same = not altered_keys({system: known.get(system, {})}, {system: parameters[system]})
    stored = read_seeds(claims, system) if same else {}
    for seed, folder in runs.items():
        for claim in mini:
            row = stored.setdefault(claim.id, {"value": {}, "trivial": {}})
            row["value"][seed] = _number(folder, claim.metric.file, claim.metric.key)
            if claim.trivial is not None:
                row["trivial"][seed] = (
                    claim.trivial.value
                    if claim.trivial.file is None
                    else _number(folder, claim.trivial.file, claim.trivial.key)
                )
    write_json(seeds_path(claims, system), stored)
    merged = {**known, system: parameters[system]}
    freeze(merged, sorted(merged), frozen)
    return stored


def calibrate(claims, system):
    """Write expected, tolerance, reason, seeds and gating of the system's mini claims from the stored seed
    values.

    Claims of kind exact need one value in all runs. Those of kind interval get a prediction interval for one
    new run; one that does not lie above what is reached without training becomes informative. Returns the
    rewritten claims.
    """
    stored = read_seeds(claims, system)
    mini = _mini_claims(claims, system)
    lacking = [claim.id for claim in mini if not stored.get(claim.id, {}).get("value")]
    if lacking:
        raise Refusal(f"{seeds_path(claims, system)}: no seed run of {lacking[0]}: give runs as SEED=FOLDER")
    level = _shared_level(claims)
    path = Path(claims) / f"{system}.yaml"
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 120, True
    rows = yaml.load(path.read_text(encoding="utf-8"))
    by_id = {row["id"]: row for row in rows}
    for claim in mini:
        values, trivial = stored[claim.id]["value"], list(stored[claim.id]["trivial"].values())
        by_id[claim.id].update(
            _exact(claim, values)
            if claim.tolerance.kind == "exact"
            else _interval(values, trivial, level, _is_candidate(claim))
        )
    with replacing(path, "w") as file:
        yaml.dump(rows, file)
    return _mini_claims(claims, system)


def _exact(claim, values):
    different = sorted(set(values.values()))
    if len(different) > 1:
        raise Refusal(
            f"{claim.id}: the tolerance is exact, but the seed runs gave {different[0]} and {different[-1]}"
        )
    return {
        "expected": different[0],
        "reason": f"a count that no random draw changes, equal in all {len(values)} seed runs",
    }


def _interval(values, trivial, level, may_gate):
    low, high = prediction_interval(values.values(), level)
    informative = is_informative_only((low, high), trivial)
    reason = (
        f"prediction interval for one new run from {len(values)} seeds (Student t, two-sided, {level:.2%} "
        f"for this claim, so that all gating mini claims hold together with {1 - FAMILY_ERROR:.0%}); a mini "
        "value that is too good deviates too, as it points to a leak"
    )
    if informative:
        reason += (
            f"; not gating: the interval reaches down to what is there without training ({max(trivial):.4f})"
        )
    if not may_gate:
        reason += "; not gating, by decision: see REPRODUCE.md"
    return {
        "expected": round(statistics.fmean(values.values()), 6),
        "gating": may_gate and not informative,
        "reason": reason,
        "tolerance": {"kind": "interval", "low": round(low, 6), "high": round(high, 6)},
        "seeds": {
            "values": dict(sorted(values.items(), key=lambda item: (len(item[0]), item[0]))),
            "level": round(level, 9),
        },
    }


def _shared_level(claims):
    """The level of each claim that gates: the error of the family is shared by as few as may gate with it.

    Fewer shares make narrower intervals, and more claims whose interval stays clear of the trivial value.
    """
    candidates = [claim for claim in read_all_claims(claims) if _is_candidate(claim)]
    stored = {system: read_seeds(claims, system) for system in {claim.system for claim in candidates}}

    def gate(level):
        return sum(_may_gate(stored[claim.system].get(claim.id), level) for claim in candidates)

    shares = len(candidates)
    while shares > 1 and gate(family_level(shares - 1)) <= shares - 1:
        shares -= 1
    return family_level(shares)


def _may_gate(row, level):
    """Whether a claim with these seed values gates at `level`; one without any, for now, does."""
    if not row or not row["value"]:
        return True
    return not is_informative_only(prediction_interval(row["value"].values(), level), row["trivial"].values())


def _is_candidate(claim):
    """Whether a claim may gate. One that does not gate and names no trivial value informs by decision."""
    decided = not claim.gating and claim.trivial is None
    return claim.tier == "mini" and claim.tolerance.kind == "interval" and not decided


def _mini_claims(claims, system):
    """The mini claims whose numbers come from seed runs; absolute and at_least ones are stated by hand."""
    return [
        claim
        for claim in read_claims(Path(claims) / f"{system}.yaml")
        if claim.tier == "mini" and claim.tolerance.kind in ("exact", "interval")
    ]


def _common_parameters(system, runs):
    first = None
    for folder in runs.values():
        parameters = read_parameters(Path(folder) / "params.yaml")
        if system not in parameters:
            raise Refusal(f"{folder}/params.yaml: no section {system}")
        first = first or (folder, parameters)
        altered = altered_keys({system: first[1][system]}, {system: parameters[system]})
        if altered:
            raise Refusal(
                f"{folder}/params.yaml: {altered[0]} differs from {first[0]}/params.yaml: "
                "seed runs share a recipe"
            )
    return first[1]


def _number(folder, file, key):
    path = Path(folder) / file
    try:
        return read_metric(path, key)
    except FileNotFoundError:
        raise Refusal(f"{path}: no such metric file: has this seed run ended?") from None
