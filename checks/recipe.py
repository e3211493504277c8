"""The parameters that an expected number belongs to, frozen beside the claims."""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path

import yaml

from checks.fingerprint_file import read_fingerprint
from checks.yaml_file import read_yaml, written_at
from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal

# Keys that say on what a run runs and how its files are cut, not what it computes. The seed is among them
# because a claim holds for any seed, except the one that makes the held-out queries: they are measured.
MACHINE_KEYS = frozenset(
    {
        "seed",
        "subset_seed",
        "workers",
        "processes",
        "classes_per_shard",
        "images_per_shard",
        "pairs_per_shard",
        "pictures_per_shard",
        "pictures_per_chunk",
        "queries_per_shard",
        "save_every",
        "print_every",
        "snapshots",
        "snapshot_classes",
        "published_layout",
        "validation_workers",
        "wandb",
        "wandb_project",
        "keep_bytes",
        "keep_checkpoints",
        "num_preprocess_workers",
    }
)
# The same, of one place alone: elsewhere the key changes what is computed. The authors' notes on cards of 24
# and 40 GB make the accumulation of the students' training the card's.
# An order of classes makes a run more like the published one, not less; a digest only checks a file.
MACHINE_PATHS = frozenset(
    {
        "fkd.train.recipe.accumulation",
        "fkd.train.accumulation_of",
        "drip.pictures.imagenet_order",
        "drip.pictures.face_order",
        "drip.start.sha256",
        "drip.train.w_chunk",
        "drip.train.max_raised",
        "drip.train.save_top_k",
        "drip.inference.batches_per_chunk",
    }
)
HELD_OUT = "held_out"


def read_parameters(path):
    """A params.yaml as a dict; raises Refusal."""
    value = read_yaml(path, "no such parameter file")
    if not isinstance(value, dict):
        raise Refusal(f"{path}: expected a mapping of parameters")
    return value


def _parameters(path):
    """read_parameters, read again only when the file is another one; not to be changed by who asks."""
    return _kept(Path(path), written_at(path))


@lru_cache(maxsize=8)  # every claim of a size asks for the same two
def _kept(path, _stamp):
    return read_parameters(path)


def flatten(value, prefix=""):
    """{dotted key: value} of nested mappings, without the machine keys; lists stay whole."""
    flat = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if name in MACHINE_PATHS:
            continue
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


def recipe_objection(size, sections, behind=None, changes=None):
    """Why numbers that rest on `sections` of the parameters (a.b) may not be compared with the claims.

    None when they are the stated ones. `behind`: the Lineage whose stages' own records are compared too.
    `changes`: values that a claim was stated for in place of the frozen ones, by dotted key.
    """
    if not size.frozen_recipe.is_file():
        return f"no frozen recipe ({size.frozen_recipe.name}): see `encore recipe --freeze`"
    frozen, found = _parameters(size.frozen_recipe), _parameters(size.folder / "params.yaml")
    frozen = copy.deepcopy(frozen) if changes else frozen
    for key, value in (changes or {}).items():
        _change(frozen, key, value, size.frozen_recipe)
    lacking = [section for section in sections if section_of(frozen, section) is None]
    if lacking:
        return f"no frozen recipe of {lacking[0]} in {size.frozen_recipe.name}"
    altered = {
        key
        for section in sections
        for key in altered_keys({section: section_of(found, section)}, {section: section_of(frozen, section)})
    }
    if not altered and behind is not None:
        altered = keys_run_otherwise(behind.fingerprint_files(size.folder), frozen)
    return f"recipe altered ({', '.join(sorted(altered))})" if altered else None


def _change(parameters, key, value, path):
    section, _, last = key.rpartition(".")
    values = section_of(parameters, section)
    if not isinstance(values, dict) or last not in values:
        raise Refusal(f"{path}: {key}: a claim states a recipe with this key, and it is not here")
    values[last] = value


def section_of(parameters, name):
    """The section a.b of a mapping, or None."""
    for part in name.split("."):
        parameters = parameters.get(part) if isinstance(parameters, dict) else None
    return parameters


def keys_run_otherwise(fingerprints, frozen):
    """The keys on which what the stages recorded of their own parameters differs from the stated recipe.

    params.yaml can be changed back after a run; the fingerprints say what a stage really ran with.
    """
    altered = set()
    for path in fingerprints:
        record = recorded_run(path)
        system, stage, item = record.get("system"), record.get("stage"), record.get("item")
        sections = {stage: record.get("parameters"), **(record.get("other_parameters") or {})}
        for name, parameters in sections.items():
            section = f"{system}.{name}"
            stated = section_of(frozen, section)
            if name == stage and isinstance(stated, dict) and item in stated:
                section, stated = f"{section}.{item}", stated[item]
            ran = flatten(parameters or {}, f"{section}.")
            if ran and isinstance(stated, dict):
                stated = flatten(stated, f"{section}.")
                altered |= {f"{key} as run" for key in stated if ran.get(key) != stated[key]}
    return sorted(altered)


def recorded_run(path):
    """A fingerprint whose account of what its stage ran with can be compared; raises Refusal."""
    record = read_fingerprint(path)
    for key in ("system", "stage", "item"):
        if not isinstance(record.get(key, ""), (str, type(None))):
            raise Refusal(f"{path}: {key}: expected text, found {record[key]!r:.60}: run the stage again")
    others = record.get("other_parameters") or {}
    several = {"other_parameters": others, "parameters": record.get("parameters")}
    if isinstance(others, dict):
        several.update({f"other_parameters.{key}": value for key, value in others.items()})
    for key, value in several.items():
        if value is not None and not isinstance(value, dict):
            raise Refusal(f"{path}: {key}: expected a mapping, found {value!r:.60}: run the stage again")
    return record


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
