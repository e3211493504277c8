"""The stages that a dvc.yaml comes to: one for each item of a matrix or foreach, with its system."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from checks.recipe import section_of
from checks.yaml_file import read_yaml
from encore.runtime.refusal import Refusal

VALUE = re.compile(r"\$\{([^}]+)\}\Z")
SYSTEM = re.compile(r"-m\s+stages\.(\w+)\.")
NO_SYSTEM = "data"


def pipeline_stages(folder):
    """{stage: system} of the size in `folder`, in the order of its dvc.yaml, named as DVC names them; the
    data checks count as the system `data`. Raises Refusal."""
    folder = Path(folder)
    value = read_yaml(folder / "dvc.yaml", "no such file: a size is the folder of a dvc.yaml, e.g. mini")
    if not isinstance(value, dict) or not isinstance(value.get("stages"), dict):
        raise Refusal(f"{folder / 'dvc.yaml'}: expected a mapping with stages: restore it")
    parameters = read_yaml(folder / "params.yaml", "no such file: dvc.yaml takes values from it")
    found = {}
    for name, stage in value["stages"].items():
        system = SYSTEM.search(str((stage.get("do") or stage).get("cmd")))
        for item in _items(stage, parameters, f"{folder / 'dvc.yaml'}: stages.{name}"):
            found[name + item] = system.group(1) if system else NO_SYSTEM
    return found


def _items(stage, parameters, where):
    """What DVC appends to the name of a stage for each of its items."""
    if "foreach" in stage:
        values = _resolved(stage["foreach"], parameters, f"{where}.foreach")
        return [f"@{key}" for key in values]
    if "matrix" not in stage:
        return [""]
    axes = [
        [
            _text(axis, i, item)
            for i, item in enumerate(_resolved(values, parameters, f"{where}.matrix.{axis}"))
        ]
        for axis, values in stage["matrix"].items()
    ]
    return ["@" + "-".join(items) for items in itertools.product(*axes)]


def _text(axis, place, item):
    return f"{axis}{place}" if isinstance(item, (dict, list)) else str(item)


def _resolved(values, parameters, where):
    match = VALUE.match(values) if isinstance(values, str) else None
    found = section_of(parameters, match.group(1)) if match else values
    if not isinstance(found, (dict, list)):
        raise Refusal(f"{where}: {values} is no list or mapping in params.yaml: correct one of them")
    return found
