"""The stages that a dvc.yaml comes to: one for each item of a matrix or foreach, with its system."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from checks.recipe import section_of
from checks.yaml_file import read_yaml, written_at
from encore.runtime.refusal import Refusal

VALUE = re.compile(r"\$\{([^}]+)\}")
SYSTEM = re.compile(r"-m\s+stages\.(\w+)\.")
NO_SYSTEM = "data"
KINDS = ("deps", "params", "outs", "metrics", "plots")


@dataclass(frozen=True)
class Declared:
    """One entry of dvc.yaml's stages: its name, what DVC runs of it (`body`: cmd, deps, outs, ...), the
    system that it is of, and {what DVC appends to the name: the values of that item}.

    The values are {"item": ...}, of a foreach over a mapping with "key"; a stage that runs once has one item,
    "" without values. `is_matrix`: the items are those of a matrix.
    """

    name: str
    body: dict
    system: str
    items: dict[str, dict]
    is_matrix: bool = False

    def listed(self, kind):
        """The paths, or keys of parameters, of the list `kind` (deps, params, outs, metrics or plots)."""
        entries = self.body.get(kind) or ()
        return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


@dataclass(frozen=True)
class Pipeline:
    """The entries of a size's dvc.yaml in their order, and its parameters."""

    entries: tuple[Declared, ...]
    parameters: dict

    @property
    def stages(self):
        """{stage, named as DVC names it: its Declared}."""
        return {f"{entry.name}{item}": entry for entry in self.entries for item in entry.items}


def read_pipeline(folder):
    """The Pipeline of the size in `folder`, read again only when its files are others; raises Refusal."""
    folder = Path(folder)
    return _read(folder, (written_at(folder / "dvc.yaml"), written_at(folder / "params.yaml")))


def pipeline_stages(folder):
    """{stage: system} of the size in `folder`, in the order of its dvc.yaml, named as DVC names them; the
    data checks count as the system `data`. Raises Refusal."""
    return {name: entry.system for name, entry in read_pipeline(folder).stages.items()}


def text_of(value):
    """A value as DVC writes it into names and paths."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@lru_cache(maxsize=8)  # every claim of a size asks for the same one
def _read(folder, _stamp):
    path = folder / "dvc.yaml"
    value = read_yaml(path, "no such file: a size is the folder of a dvc.yaml, e.g. mini")
    if not isinstance(value, dict) or not isinstance(value.get("stages"), dict):
        raise Refusal(f"{path}: expected a mapping with stages: restore it")
    parameters = _parameters(folder / "params.yaml")
    entries = [
        _declared(str(name), stage, parameters, f"{path}: stages.{name}")
        for name, stage in value["stages"].items()
    ]
    return Pipeline(tuple(entries), parameters)


def _parameters(path):
    """The parameters; {} where the pipeline has no such file, since one without `${...}` needs none."""
    found = read_yaml(path, "") if path.exists() else {}
    if not isinstance(found, dict):
        raise Refusal(f"{path}: expected a mapping of parameters: restore it")
    return found


def _declared(name, stage, parameters, where):
    if not isinstance(stage, dict):
        raise Refusal(f"{where}: expected a mapping with cmd, deps and outs, found {stage!r}: correct it")
    body = stage["do"] if "foreach" in stage and "do" in stage else stage
    if not isinstance(body, dict) or ("foreach" in stage and "do" not in stage):
        raise Refusal(f"{where}.do: expected a mapping with cmd, deps and outs: correct it")
    for kind in KINDS:
        _check_list(body.get(kind), f"{where}.{kind}")
    system = SYSTEM.search(str(body.get("cmd")))
    return Declared(
        name,
        body,
        system.group(1) if system else NO_SYSTEM,
        _items(stage, parameters, where),
        "matrix" in stage,
    )


def _check_list(entries, where):
    """Raise Refusal for anything but a list of paths, some as a mapping from path to options."""
    if entries is not None and not isinstance(entries, list):
        raise Refusal(f"{where}: expected a list, found {entries!r:.60}: correct it")
    for place, entry in enumerate(entries or ()):
        path = next(iter(entry), None) if isinstance(entry, dict) else entry
        if not isinstance(path, str):
            raise Refusal(f"{where}[{place}]: expected text, found {entry!r:.60}: correct it")


def _items(stage, parameters, where):
    """{what DVC appends to the name of a stage: the values of this item}, by its rules."""
    if "foreach" in stage:
        found = _resolved(stage["foreach"], parameters, f"{where}.foreach")
        if isinstance(found, dict):
            return {f"@{text_of(key)}": {"key": text_of(key), "item": item} for key, item in found.items()}
        numbered = any(isinstance(item, (dict, list)) for item in found)
        return {
            f"@{place if numbered else text_of(item)}": {"item": item} for place, item in enumerate(found)
        }
    if "matrix" not in stage:
        return {"": {}}
    axes = stage["matrix"]
    if not isinstance(axes, dict):
        raise Refusal(f"{where}.matrix: expected a mapping from axis to values, found {axes!r}: correct it")
    values = [
        [*enumerate(_resolved(found, parameters, f"{where}.matrix.{axis}"))] for axis, found in axes.items()
    ]
    return {
        "@" + "-".join(_name(axis, *one) for axis, one in zip(axes, chosen, strict=True)): {
            "item": {axis: item for axis, (_, item) in zip(axes, chosen, strict=True)}
        }
        for chosen in itertools.product(*values)
    }


def _name(axis, place, item):
    return f"{axis}{place}" if isinstance(item, (dict, list)) else text_of(item)


def _resolved(values, parameters, where):
    """A list or mapping, or the one of the parameters that the text `${a.b}` names; its own texts too."""
    found = _value(values, parameters)
    if not isinstance(found, (dict, list)):
        raise Refusal(f"{where}: {values} is no list or mapping in params.yaml: correct one of them")
    if isinstance(found, dict):
        return {key: _value(item, parameters) for key, item in found.items()}
    return [_value(item, parameters) for item in found]


def _value(text, parameters):
    """What `${a.b}` stands for; anything else, and what no parameter says, as it is."""
    match = VALUE.fullmatch(text) if isinstance(text, str) else None
    found = section_of(parameters, match.group(1)) if match else None
    return text if found is None else found
