"""What the profiles Workflow RO-Crate 1.0 and Process, Workflow and Provenance Run Crate 0.5 say must be."""

from __future__ import annotations

import re

import pytest

from checks.provenance.crate import write_crate
from checks.provenance.reading import Crate
from tests.checks.crate_project import write_run

ACTIONS = ("CreateAction", "ActivateAction", "UpdateAction")
PROGRAMS = ("SoftwareApplication", "SoftwareSourceCode", "ComputationalWorkflow")
FILLINGS = ("File", "Dataset", "Collection", "PropertyValue")


def violations(crate):
    """What a crate lacks of the MUSTs, one line each."""
    return [*_root(crate), *_workflow(crate), *_actions(crate), *_steps(crate), *_entities(crate)]


def _is(crate, identity, kinds):
    return any(crate.is_a(identity, kind) for kind in kinds)


def _every(crate, kind):
    return [identity for identity in crate.entities if crate.is_a(identity, kind)]


def _root(crate):
    metadata = crate.entities.get("ro-crate-metadata.json", {})
    if not crate.is_a("ro-crate-metadata.json", "CreativeWork") or metadata.get("about") != {"@id": "./"}:
        yield "the metadata are not about the root"
    if "https://w3id.org/ro/crate/1.1" not in crate.get("ro-crate-metadata.json", "conformsTo"):
        yield "the metadata name no version of RO-Crate"
    for key in ("name", "description", "license", "datePublished", "mainEntity"):
        if not crate.get("./", key):
            yield f"the root has no {key}"
    if not re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", str(crate.first("./", "datePublished"))):
        yield "datePublished is no date"
    for profile in ("process", "workflow", "provenance"):
        identity = f"https://w3id.org/ro/wfrun/{profile}/0.5"
        if identity not in crate.get("./", "conformsTo") or not crate.is_a(identity, "CreativeWork"):
            yield f"the root does not conform to {profile}"


def _workflow(crate):
    main = crate.first("./", "mainEntity")
    for kind in ("File", "SoftwareSourceCode", "ComputationalWorkflow"):
        if not crate.is_a(main, kind):
            yield f"the workflow is no {kind}"
    if not crate.is_a(crate.first(main, "programmingLanguage"), "ComputerLanguage"):
        yield "the workflow has no language"
    if crate.get(main, "step") and not crate.is_a(main, "HowTo"):
        yield "a workflow with steps is no HowTo"
    tools = crate.get(main, "hasPart")
    used = {one for action in crate.entities for one in crate.get(action, "instrument")}
    if not tools or not all(_is(crate, tool, PROGRAMS) and tool in used for tool in tools):
        yield "the workflow has no tools, or one that nothing ran"
    if not any(main in crate.get(one, "instrument") for kind in ACTIONS for one in _every(crate, kind)):
        yield "nothing ran the workflow"
    yield from _slots(crate, main)


def _slots(crate, main):
    for slot in [*crate.get(main, "input"), *crate.get(main, "output")]:
        if not crate.is_a(slot, "FormalParameter"):
            yield f"{slot}: no FormalParameter"
    for slot in _every(crate, "FormalParameter"):
        filled = crate.get(slot, "workExample")
        if not crate.get(slot, "additionalType") or not all(_is(crate, one, FILLINGS) for one in filled):
            yield f"{slot}: no additionalType, or filled by no data"


def _actions(crate):
    for kind in ACTIONS:
        for action in _every(crate, kind):
            if not any(_is(crate, one, PROGRAMS) for one in crate.get(action, "instrument")):
                yield f"{action}: no instrument"
            for usage in crate.get(action, "resourceUsage"):
                if not crate.is_a(usage, "PropertyValue") or not crate.get(usage, "propertyID"):
                    yield f"{action}: resource usage without propertyID"
    if not _every(crate, "OrganizeAction"):
        yield "no OrganizeAction"
    for action in _every(crate, "OrganizeAction"):
        run = _is(crate, crate.first(action, "instrument"), PROGRAMS)
        run = run and _is(crate, crate.first(action, "result"), ACTIONS)
        controls = crate.get(action, "object")
        if not run or not controls or not all(crate.is_a(one, "ControlAction") for one in controls):
            yield f"{action}: engine, run or control actions are missing"


def _steps(crate):
    listed = crate.get(crate.first("./", "mainEntity"), "step")
    for step in _every(crate, "HowToStep"):
        if step not in listed or not _is(crate, crate.first(step, "workExample"), PROGRAMS):
            yield f"{step}: not in the workflow, or without its tool"
        if not re.fullmatch(r"\d+", str(crate.first(step, "position"))):
            yield f"{step}: its position is no number"
    for action in _every(crate, "ControlAction"):
        step, done = crate.first(action, "instrument"), crate.first(action, "object")
        if not crate.is_a(step, "HowToStep") or not _is(crate, done, ACTIONS):
            yield f"{action}: without its step or its run"


def _entities(crate):
    parts = set(crate.get("./", "hasPart"))
    for identity, entity in crate.entities.items():
        if not entity.get("@type"):
            yield f"{identity}: no @type"
        is_data = crate.is_a(identity, "File") or crate.is_a(identity, "Dataset")
        if is_data and identity != "./" and not identity.startswith("#") and identity not in parts:
            yield f"{identity}: data that are no part of the root"
        if crate.holds(identity) and not (crate.folder / identity).is_file():
            yield f"{identity}: not in the folder"
        for key, value in entity.items():
            for one in value if isinstance(value, list) else [value]:
                known = not isinstance(one, dict) or one["@id"] in crate.entities
                if not known and not one["@id"].startswith("http"):
                    yield f"{identity}.{key}: {one['@id']} is not there"


@pytest.fixture
def crate(project):
    return Crate(write_crate(write_run(project).size()).folder)


def test_a_crate_keeps_the_profiles(crate):
    assert violations(crate) == []
    assert len(_every(crate, "CreateAction")) == 4  # three stages and the whole
    assert len(_every(crate, "ControlAction")) == len(_every(crate, "HowToStep")) == 3


@pytest.mark.parametrize(
    ("identity", "key", "value", "line"),
    [
        ("./", "license", None, "the root has no license"),
        ("./", "datePublished", "yesterday", "datePublished is no date"),
        ("./", "conformsTo", [], "the root does not conform to provenance"),
        ("mini/dvc.yaml", "programmingLanguage", None, "the workflow has no language"),
        (
            "mini/dvc.yaml",
            "@type",
            ["File", "SoftwareSourceCode"],
            "the workflow is no ComputationalWorkflow",
        ),
        ("mini/dvc.yaml", "hasPart", [], "the workflow has no tools, or one that nothing ran"),
        ("#run", "instrument", {"@id": "#dvc"}, "nothing ran the workflow"),
        ("#run/toy_test", "instrument", None, "#run/toy_test: no instrument"),
        ("#engine-run", "object", [], "#engine-run: engine, run or control actions are missing"),
        ("#control/toy_test", "object", None, "#control/toy_test: without its step or its run"),
        ("#step/toy_test", "position", "last", "#step/toy_test: its position is no number"),
        (
            "#slot/toy.train",
            "additionalType",
            None,
            "#slot/toy.train: no additionalType, or filled by no data",
        ),
        (
            "#usage/toy_test/wall_seconds",
            "propertyID",
            None,
            "#run/toy_test: resource usage without propertyID",
        ),
        ("#verdict/mini_score", "about", {"@id": "#gone"}, "#verdict/mini_score.about: #gone is not there"),
        ("./", "hasPart", [], "src/toy.py: data that are no part of the root"),
    ],
)
def test_what_the_profiles_ask_for_is_missed(crate, identity, key, value, line):
    crate.entities[identity].pop(key)
    if value is not None:
        crate.entities[identity][key] = value
    assert line in violations(crate)
