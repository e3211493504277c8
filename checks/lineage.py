"""What a number rests on: the stages of dvc.yaml that lead to its metric file, of any system."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from checks.pipeline_stages import KINDS, read_pipeline, text_of
from checks.recipe import section_of
from checks.yaml_file import written_at
from encore.runtime.refusal import Refusal

ITEM = re.compile(r"\$\{(?:item|key)\b[^}]*\}")
VALUE = re.compile(r"\$\{(?!(?:item|key)\b)([^}]+)\}")
SOME_ITEM = "item"


@dataclass(frozen=True)
class Lineage:
    """The stages behind one metric file: their names, parameter sections and fingerprints (glob patterns)."""

    stages: tuple[str, ...]
    sections: tuple[str, ...]
    fingerprints: tuple[str, ...]

    def fingerprint_files(self, folder):
        """The fingerprints that are there, sorted."""
        return sorted({path for pattern in self.fingerprints for path in Path(folder).glob(pattern)})


def lineage(folder, metric_file):
    """The Lineage of a metric file of the size in `folder`; raises Refusal when no stage writes the file."""
    folder = Path(folder)
    return _lineage(
        folder, metric_file, (written_at(folder / "dvc.yaml"), written_at(folder / "params.yaml"))
    )


@lru_cache(maxsize=1024)  # many claims read one metric file
def _lineage(folder, metric_file, stamp):
    stages = _stages(folder, stamp)
    visits, waiting = set(), [*_producers(folder, stamp, metric_file)]
    if not waiting:
        raise Refusal(
            f"{folder / 'dvc.yaml'}: no stage writes {metric_file}: correct the claim, or add the metric to "
            "its stage"
        )
    while waiting:
        visit = waiting.pop()
        if visit not in visits:
            visits.add(visit)
            for dependency in stages[visit[0]]["deps"]:
                waiting.extend(_producers(folder, stamp, dependency))
    found = {name for name, _ in visits}
    sections = {_section(key, dict(items)) for name, items in visits for key in stages[name]["params"]}
    written = [path for name in found for path in _written(stages[name]) if path.startswith("fingerprints/")]
    return Lineage(
        tuple(sorted(found)), tuple(sorted(sections)), tuple(sorted(ITEM.sub("*", path) for path in written))
    )


def systems_behind(folder, metric_files):
    """The sorted names of the systems whose parameters the metric files of a size rest on."""
    found = {name for file in set(metric_files) for name in lineage(folder, file).sections}
    return sorted({name.split(".")[0] for name in found})


@lru_cache(maxsize=8)
def _stages(folder, _stamp):
    """{stage: {kind: its paths or keys}} of a size's pipeline with `${a.b}` replaced by its value in
    params.yaml, one for each key of a foreach; items of a matrix stay as they are. `_stamp` changes when its
    files do."""
    pipeline = read_pipeline(folder)

    def value(match):
        found = section_of(pipeline.parameters, match.group(1))
        return match.group() if found is None or isinstance(found, (dict, list)) else text_of(found)

    return {
        entry.name + suffix: {
            kind: [VALUE.sub(value, _of_item(path, values)) for path in entry.listed(kind)] for kind in KINDS
        }
        for entry in pipeline.entries
        for suffix, values in _runs(entry).items()
    }


def _runs(entry):
    """{what is appended to the name of an entry: the values}: nothing for a matrix."""
    return {"": {}} if entry.is_matrix else entry.items


def _of_item(path, values):
    """An entry of a stage for one item of its foreach: `${key}` and `${item.x}` replaced."""
    if not values:
        return path
    return ITEM.sub(lambda match: text_of(section_of(values, match.group()[2:-1])), path)


@lru_cache(maxsize=8192)  # what one stage reads, the next does, and the next claim rests on
def _producers(folder, stamp, wanted):
    """(name, its items as pairs) of the stages one of whose outputs is `wanted`, holds it or lies in it.

    Items of a matrix are there as far as `wanted` says which.
    """
    return [
        (name, _items(path, wanted))
        for name, body in _stages(folder, stamp).items()
        for path in _written(body)
        if _meet(path, wanted)
    ]


def _items(pattern, path):
    """((item, its value), ...) of the parts of `path` that stand for items of `pattern`."""
    found = {}
    for one, other in zip(pattern.split("/"), path.split("/"), strict=False):
        match = re.fullmatch("(.+)".join(map(re.escape, ITEM.split(one))), other)
        if match and not ITEM.search(other):
            found.update(zip(ITEM.findall(one), match.groups(), strict=True))
    return tuple(sorted(found.items()))


def _section(key, items):
    """The section `key` of one item; the section that holds all of them where the item is not known."""
    for item, value in items.items():
        key = key.replace(item, value)
    return ITEM.split(key)[0].rstrip(".")


@lru_cache(maxsize=None)  # a stage's hundred dependencies are those of the next, and of the next claim
def _meet(one, other):
    """Whether one path, with items of a matrix in it, can be the other or a folder above or below it."""
    return all(
        _fits(a, b) or _fits(b, a) for a, b in zip(one.split("/"), other.rstrip("/").split("/"), strict=False)
    )


def _fits(pattern, name):
    """Whether a part of a path with items can be that part, whose own items stand for themselves."""
    parts = map(re.escape, ITEM.split(pattern))
    return re.fullmatch(".+".join(parts), ITEM.sub(SOME_ITEM, name)) is not None


def _written(body):
    return [path for kind in ("outs", "metrics", "plots") for path in body[kind]]
