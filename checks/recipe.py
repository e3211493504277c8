"""The parameters that an expected number belongs to, frozen beside the claims."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from checks.yaml_file import read_yaml
from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal

# Keys that say on what a run runs and how its files are cut, not what it computes. The seed is among them
# because a claim holds for any seed, except the one that makes the held-out queries: they are measured.
MACHINE_KEYS = frozenset(
    {"seed", "workers", "classes_per_shard", "images_per_shard", "save_every", "keep_bytes"}
)
HELD_OUT = "held_out"


def read_parameters(path):
    """A params.yaml as a dict; raises Refusal."""
    value = read_yaml(path, "no such parameter file")
    if not isinstance(value, dict):
        raise Refusal(f"{path}: expected a mapping of parameters")
    return value


def flatten(value, prefix=""):
    """{dotted key: value} of nested mappings, without the machine keys; lists stay whole."""
    flat = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict):
            flat.update(flatten(item, name + "."))
        elif key not in MACHINE_KEYS or HELD_OUT in prefix.split("."):
            flat[name] = item
    return flat


def altered_keys(found, frozen):
    """The dotted keys, sorted, on which two parameter mappings differ; missing and added keys count."""
    found, frozen = flatten(found), flatten(frozen)
    missing = object()
    return sorted(
        key for key in found.keys() | frozen.keys() if found.get(key, missing) != frozen.get(key, missing)
    )


def recipe_objection(size, system):
    """Why numbers of `system` in this size may not be compared with its claims, or None when the recipe is
    the stated one."""
    if not size.frozen_recipe.is_file():
        return f"no frozen recipe ({size.frozen_recipe.name}): see `encore recipe --freeze`"
    frozen = read_parameters(size.frozen_recipe)
    if system not in frozen:
        return f"no frozen recipe of {system} in {size.frozen_recipe.name}"
    found = read_parameters(size.folder / "params.yaml")
    altered = altered_keys({system: found.get(system, {})}, {system: frozen[system]})
    altered = altered or keys_run_otherwise(size.folder, system, frozen[system])
    return f"recipe altered ({', '.join(altered)})" if altered else None


def keys_run_otherwise(folder, system, frozen):
    """The keys on which what the stages recorded of their own parameters differs from the stated recipe.

    params.yaml can be changed back after a run; the fingerprints say what a stage really ran with.
    """
    altered = set()
    for path in sorted((Path(folder) / "fingerprints" / system).rglob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        stage, ran = record.get("stage"), flatten(record.get("parameters") or {})
        if ran and isinstance(frozen.get(stage), dict):
            stated = flatten(frozen[stage])
            altered |= {f"{system}.{stage}.{key} as run" for key in stated if ran.get(key) != stated[key]}
    return sorted(altered)


def freeze(parameters, systems, path):
    """Write the sections `systems` of `parameters` to `path` (published_params.yaml or mini_params.yaml)."""
    lacking = [system for system in systems if system not in parameters]
    if lacking:
        raise Refusal(f"the parameters hold no section {lacking[0]} to freeze")
    with replacing(path, "w") as file:
        file.write(
            "# The parameters that the claims of this size belong to; written by `encore recipe --freeze`\n"
            "# or `encore calibrate`, not by hand.\n"
        )
        yaml.safe_dump(
            {system: parameters[system] for system in systems}, file, sort_keys=True, allow_unicode=True
        )
