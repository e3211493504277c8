"""Why a number deviates: the first stage of two runs that differs, and what of its inputs did."""

from __future__ import annotations

from dataclasses import dataclass, field

from checks.runs.difference import (
    CHANCE,
    DATA,
    ENVIRONMENT,
    HARDWARE,
    RECIPE,
    SETTING,
    causes,
    listing,
    number_change,
)
from checks.runs.dvc_lock import behind, in_order, read_lock
from checks.runs.integrity import first_broken, is_its_own
from checks.runs.reference import stored_reference
from checks.runs.run_record import RunRecord
from checks.runs.stage_difference import canary_rows, stage_difference
from encore.runtime.refusal import Refusal


@dataclass(frozen=True)
class Cause:
    """Why two runs differ: the first `stage` that does, the `kind` (data | environment | code | hardware |
    chance | recipe), one sentence, and {kind: [what differs]} with what came out under `outputs`."""

    stage: str
    kind: str
    text: str
    evidence: dict = field(default_factory=dict)


def why(size, claim):
    """The Cause for which the number of `claim` is not that of the stored reference run of its Size.

    A file that is no longer what its stage wrote comes first; an evidence file, which a number is only
    computed from again, where nothing else differs. None where nothing along the way to the number differs
    (then the claim itself was altered), or where there is no run or no reference to compare with.
    """
    return _why(size, claim, _damage(size, claim)) or _damage(size, claim, evidence=True)


def _damage(size, claim, evidence=False):
    problem = _first_broken(size, claim, evidence)
    return problem and Cause(problem.stage, DATA, problem.text, {DATA: [problem.text]})


def _first_broken(size, claim, evidence):
    return first_broken(size.folder, claim.metric.file, evidence, lambda: stored_reference(size))


def _why(size, claim, found):
    reference = stored_reference(size)
    if reference is None or not (size.folder / "dvc.lock").is_file():
        return found
    locked = read_lock(size.folder)
    if found is not None:  # of what may not be readable any more, only the number is asked for
        run = RunRecord.of_folder(
            size.folder, [name for name in locked if claim.metric.file in locked[name].outs]
        )
        found = _by_hand(size.folder, locked[found.stage], reference, found)
    else:
        stages = {*behind(locked, claim.metric.file)}
        run = RunRecord.of_folder(size.folder, stages)
        found = first_difference(reference, run, stages | {*behind(reference.stages, claim.metric.file)})
    return found and _with_number(found, claim.metric, reference, run)


def _by_hand(folder, stage, reference, found):
    """The Cause `found` at a Locked stage that ran again outside DVC, so that its files had to change: what
    its own fingerprint says of environment or hardware, where that is not the reference run's."""
    if is_its_own(folder, stage) or found.stage not in reference.stages:
        return found
    try:
        run = RunRecord.of_folder(folder, [found.stage])
    except Refusal:  # what was changed cannot be read any more
        return found
    differing = causes(reference.stages[found.stage], run.stages[found.stage])
    for kind in (ENVIRONMENT, HARDWARE):
        if kind in differing:
            text = f"{_because(kind, differing[kind])}; {found.text}"
            return Cause(found.stage, kind, text, {**found.evidence, kind: differing[kind]})
    return found


def broken(size, claim, evidence=False):
    """What became of the first file in the lineage of `claim` that is not what dvc.lock says its stage wrote,
    in a sentence; None when every file that is there is. Evidence files count where the number is computed
    from them (`evidence`), other records about the run never.

    Files that are not there (not fetched) are passed over. Beyond `out_digest.HASHED_BYTES` count and
    size alone tell (`checks.runs.integrity.sized_only` lists those).
    """
    problem = _first_broken(size, claim, evidence)
    return problem and problem.text


def first_difference(record_a, record_b, stages=None):
    """The Cause for which two RunRecords differ, in the first of `stages` (names; None: all) that does; None
    when no output differs.

    A stage that only one run has is the first difference where the first that differs needs it, or none does.
    The text names further causes of that stage, and of later stages those of another kind.
    """
    merged = _both(record_a, record_b, stages)
    differing = {}
    for name, (one, other) in merged.items():
        found = stage_difference(record_a, record_b, name) if one and other else None
        if found is not None and found.outputs:
            differing[name] = found
    missing = [name for name, pair in merged.items() if None in pair]
    if not differing:
        return _missing(missing[0], merged, missing) if missing else None
    first = next(iter(differing))
    needed = {*_needs(merged, first)} & {*missing}
    if needed:
        return _missing(next(name for name in merged if name in needed), merged, missing)
    return _cause(first, differing, missing, canary_rows(record_a, record_b))


def _cause(first, differing, missing, canary):
    difference = differing[first]
    said = difference.causes or {CHANCE: []}
    kind, *others = said
    sentences = [f"{first}: {listing(difference.outputs)}", _because(kind, said[kind])]
    sentences += [f"also {_because(other, said[other])}" for other in others]
    evidence = {"outputs": difference.outputs}
    for other, texts in difference.causes.items():
        evidence[_public(other)] = evidence.get(_public(other), []) + texts
    if difference.unknown:
        sentences.append(f"only one run has on record: {listing(difference.unknown)}")
    if canary and kind in (ENVIRONMENT, HARDWARE):
        sentences.append(f"the numerical canary differs as well: {listing(canary)}")
        evidence["canary"] = canary
    later = _later(differing, {*said})
    if later:
        sentences += [f"later {stage}: {_because(other, texts)}" for stage, other, texts in later]
        evidence["later"] = [
            {"stage": stage, "kind": _public(other), "texts": texts} for stage, other, texts in later
        ]
    if missing:
        sentences.append(f"only one run has {listing(missing)}")
    return Cause(first, _public(kind), "; ".join(sentences), evidence)


def _later(differing, known):
    """(stage, kind, texts) of the first later stage with a cause of each kind that is not `known`."""
    rows = []
    for name, difference in differing.items():
        for kind, texts in difference.causes.items():
            if kind not in known:
                known = known | {kind}
                rows.append((name, kind, texts))
    return rows


def _because(kind, texts):
    if texts:
        return f"{_public(kind)}: {listing(texts)}"
    return "chance: all that is on record of what went in is the same"


def _public(kind):
    return RECIPE if kind == SETTING else kind


def _missing(name, merged, missing):
    run = "second" if merged[name][1] is None else "first"
    text = f"{name}: the {run} run has no such stage"
    if len(missing) > 1:
        text += f"; only one run has {listing(missing)}"
    return Cause(name, RECIPE, text, {"missing": missing})


def _both(record_a, record_b, stages):
    """{name: (StageRecord or None, StageRecord or None)} in the order in which the stages feed each other."""
    every = {**record_b.stages, **record_a.stages}
    return {
        name: (record_a.stages.get(name), record_b.stages.get(name))
        for name in in_order(every)
        if stages is None or name in stages
    }


def _needs(merged, name):
    """The stages that `name` rests on in either run."""
    needs = set()
    for side in (0, 1):
        stages = {key: pair[side] for key, pair in merged.items() if pair[side] is not None}
        needs.update(behind(stages, next(iter(stages[name].outs))) if stages[name].outs else ())
    return needs


def _with_number(cause, metric, reference, run):
    """The cause with how far the claim's own number is from that of the reference."""
    values = [_value(record, metric) for record in (reference, run)]
    if None in values:
        return cause
    if values[0] == values[1]:
        change = f"{metric.key} is that of the reference run"
    else:
        change = f"{number_change(metric.key, *values)} from the reference run to this one"
    return Cause(cause.stage, cause.kind, f"{cause.text}; {change}", {**cause.evidence, "metric": values})


def _value(record, metric):
    for stage in record.stages.values():
        if metric.file in stage.metrics:
            return stage.metrics[metric.file].get(metric.key)
    return None
