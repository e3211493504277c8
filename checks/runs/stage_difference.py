"""One stage of two runs: what came out otherwise, and all that can be the reason."""

from __future__ import annotations

from dataclasses import dataclass

from checks.runs.difference import (
    DATA,
    ENVIRONMENT,
    HARDWARE,
    KINDS,
    RECORDS,
    SETTING,
    causes,
    kind_of_file,
    listing,
    output_differences,
    unknown,
)


@dataclass(frozen=True)
class StageDifference:
    """One stage of two runs: what came out otherwise, by kind what went in otherwise, and what could not be
    compared because only one run has it on record."""

    outputs: list[str]
    causes: dict[str, list[str]]
    unknown: list[str]


def stage_difference(record_a, record_b, name):
    """The StageDifference of the stage `name`, which both records have."""
    one, other = record_a.stages[name], record_b.stages[name]
    found = causes(one, other)
    data = _data_causes(record_a, record_b, name)
    if data or DATA in found:
        found[DATA] = [*data, *found.get(DATA, ())]
    outputs = output_differences(one, other)
    if outputs and not {*found} - {SETTING}:
        found.update(_unexplained(record_a, record_b, name))
    return StageDifference(
        outputs, {kind: found[kind] for kind in KINDS if kind in found}, unknown(one, other)
    )


def _data_causes(record_a, record_b, name):
    """The texts on raw data, files changed after they were written, and files that are no stage's."""
    one, other = record_a.stages[name], record_b.stages[name]
    texts = [*dict.fromkeys([*_changed(one, other), *_changed(other, one)])]
    texts += [text for text in output_differences(one, other) if text.partition(":")[0] in one.inputs]
    for path in sorted(one.deps.keys() & other.deps.keys()):
        if one.deps[path] != other.deps[path] and kind_of_file(path) == DATA:
            texts += _exchanged(record_a, record_b, path, name)
    return texts


def _changed(one, other):
    """What became of the outputs of a stage since it wrote them; nothing of records about the run, which are
    others whenever a stage runs again, nor of weights beside other logs."""
    for path, out in one.outs.items():
        twin = other.outs.get(path)
        known = twin is not None and twin.md5 == out.md5 and out.content is not None
        logs_alone = known and out.content == twin.content and path not in one.manifests
        if out.changed and not path.startswith(RECORDS) and not logs_alone:
            yield out.changed


def _exchanged(record_a, record_b, path, name):
    """That `path`, which stage `name` read, is not what its stage wrote; or differs and is no stage's."""
    written = [_written(record, path) for record in (record_a, record_b)]
    read = [record.stages[name].deps[path] for record in (record_a, record_b)]
    if written == [None, None]:
        folder = path + "/"
        outs = [
            out for record in (record_a, record_b) for stage in record.stages.values() for out in stage.outs
        ]
        if not any(out.startswith(folder) or path.startswith(out + "/") for out in outs):
            yield path
    for wrote, got in zip(written, read, strict=True):
        if wrote is not None and wrote != got:
            yield f"{path} was changed between the stage that wrote it and this one"


def _written(record, path):
    return next((stage.outs[path].md5 for stage in record.stages.values() if path in stage.outs), None)


def _unexplained(record_a, record_b, name):
    """{kind: texts} where nothing that is on record of a stage's inputs explains its outputs: what the
    canaries say, or that images are missing; else nothing."""
    one, other = record_a.stages[name], record_b.stages[name]
    counts = [
        folder
        for folder in sorted(one.manifests.keys() & other.manifests.keys())
        if one.manifests[folder].count != other.manifests[folder].count
    ]
    if counts:
        return {DATA: [f"images of {listing(counts)} are missing or too many, with the same inputs"]}
    rows = canary_rows(record_a, record_b)
    if rows:
        kind = ENVIRONMENT if {"key", "image_key"} & {*rows} else HARDWARE
        return {kind: [f"the numerical canary: {listing(rows)}"]}
    return {}


def canary_rows(record_a, record_b):
    """The rows in which the canaries of two runs differ; none where one of them has no canary."""
    one, other = record_a.canary, record_b.canary
    return (
        sorted(key for key in one.keys() | other if one.get(key) != other.get(key)) if one and other else []
    )
