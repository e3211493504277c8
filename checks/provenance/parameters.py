"""The parameters of a run as entities: a section as a record of values, one value a key."""

from __future__ import annotations

import json

from checks.provenance.discretion import WITHHELD, is_secret
from checks.provenance.graph import ref, refs


def section(graph, discretion, name, value):
    """The id of the entity of the section `name` (a.b) of params.yaml with what it held in this run."""
    leaves = [_leaf(graph, discretion, key, item) for key, item in _flat(name, value)]
    identity = graph.distinct(f"#parameters/{name}", value)
    formal = formal_parameter(graph, name, "PropertyValue", identity)
    return graph.add(
        identity,
        "PropertyValue",
        name=name,
        value=refs(leaves) or "none",
        exampleOfWork=ref(formal),
    )


def formal_parameter(graph, name, kind, example):
    """The id of the workflow's own slot for a value, a file or a data set, with what filled it here."""
    identity = graph.add(f"#slot/{name}", "FormalParameter", name=name, additionalType=kind)
    graph.extend(identity, "workExample", [example])
    return identity


def _leaf(graph, discretion, key, value):
    if is_secret(key.split(".")[-1], value):
        value = WITHHELD
    text = value if isinstance(value, (int, float, bool)) else _text(value)
    text = discretion.clean(text) if isinstance(text, str) else text
    identity = graph.distinct(f"#parameter/{key}", value)
    return graph.add(identity, "PropertyValue", name=key, value=text)


def _flat(name, value):
    """(dotted key, value) of what lies in nested mappings; lists stay whole."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(f"{name}.{key}", item)
    else:
        yield name, value


def _text(value):
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
