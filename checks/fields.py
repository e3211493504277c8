"""Mappings read from YAML or JSON become frozen dataclasses, or a refusal that names file and key."""

from __future__ import annotations

import dataclasses
import math
import types
import typing

from encore.runtime.refusal import Refusal

NAMES = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


def read_fields(cls, value, where):
    """An object of dataclass `cls` from the mapping `value`; `where` is the file and key path shown in a
    refusal.

    Understands text, truth values, whole and finite numbers, `object` (any value but a mapping), `X | None`,
    tuples of one kind, mappings from text and nested dataclasses. Unknown keys, missing keys and wrong types
    raise Refusal.
    """
    if not isinstance(value, dict):
        raise Refusal(f"{where}: expected a mapping, found {_shown(value)}")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    unknown = [key for key in value if key not in fields]
    if unknown:
        raise Refusal(f"{_join(where, unknown[0])}: unknown key; known are {', '.join(fields)}")
    hints = typing.get_type_hints(cls)
    found = {}
    for name, field in fields.items():
        if name in value:
            found[name] = _read(hints[name], value[name], _join(where, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise Refusal(f"{_join(where, name)}: this key is missing")
    return cls(**found)


def _join(where, key):
    return f"{where}{'' if where.endswith(': ') else '.'}{key}"


def _read(kind, value, where):
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        inner = next(argument for argument in arguments if argument is not type(None))
        return None if value is None else _read(inner, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise Refusal(f"{where}: expected a list, found {_shown(value)}")
        return tuple(_read(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise Refusal(f"{where}: expected a mapping, found {_shown(value)}")
        return {str(key): _read(arguments[1], item, _join(where, str(key))) for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return read_fields(kind, value, where)
    return _read_plain(kind, value, where)


def _read_plain(kind, value, where):
    if kind is object:
        if isinstance(value, dict):
            raise Refusal(f"{where}: expected a value, found a mapping: write its keys with dots")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Refusal(f"{where}: expected {NAMES[kind]}, found {_shown(value)}")
    if kind is float and not math.isfinite(value):
        raise Refusal(f"{where}: expected a finite number, found {value}")
    return value


def _shown(value):
    return repr(value)[:60]
