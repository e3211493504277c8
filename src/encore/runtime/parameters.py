"""Parameters as frozen dataclasses, read once from params.yaml and checked to the last key."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import typing

from encore.runtime.refusal import Refusal, brief
from encore.runtime.yaml_limits import BAD_VALUE, read_yaml_text

_MISSING = dataclasses.MISSING


def limited(default=_MISSING, low=None, high=None, choices=None):
    """A dataclass field whose value must lie in [low, high] or among `choices` (entries of a tuple: each)."""
    limits = {"low": low, "high": high, "choices": choices}
    if default is _MISSING:
        return dataclasses.field(metadata=limits)
    return dataclasses.field(default=default, metadata=limits)


def read_parameters(path, key, cls):
    """The section `key` (dotted) of the YAML file `path` as an instance of the frozen dataclass `cls`.

    An unknown key, a missing one, a wrong type and a value out of range each raise Refusal, naming file and
    key path.
    """
    return from_mapping(cls, read_section(path, key), "{}: {}".format(path, key))


def read_section(path, key):
    """What the YAML file `path` holds at `key` (dotted), as plain values; Refusal, naming the file, for one
    that cannot be read, and naming the key where nothing is there."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same values, eight times as fast
    try:
        value = yaml.load(read_yaml_text(str(path), loader), loader)
    except FileNotFoundError:
        raise Refusal(
            "{}: no such parameter file: run in the folder of dvc.yaml or pass --params".format(path)
        ) from None
    except OSError as error:
        raise Refusal("{}: cannot be read ({}): expected a YAML file".format(path, error.strerror)) from None
    except (yaml.YAMLError,) + BAD_VALUE as error:
        raise Refusal("{}: not valid YAML: {}".format(path, " ".join(str(error).split()))) from None
    walked = []
    for part in key.split("."):
        walked.append(part)
        if not isinstance(value, dict) or part not in value:
            raise Refusal("{}: the section {} is missing".format(path, ".".join(walked)))
        value = value[part]
    return value


def from_mapping(cls, mapping, where):
    """An instance of the dataclass `cls` from `mapping`; `where` names it in errors ("file: key")."""
    if not isinstance(mapping, dict):
        raise Refusal("{}: expected keys and values, found {}".format(where, _show(mapping)))
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for name in mapping:
        if name not in fields:
            raise Refusal("{}.{}: unknown key; known are {}".format(where, name, ", ".join(sorted(fields))))
    values = {}
    for name, field in fields.items():
        place = "{}.{}".format(where, name)
        if name in mapping:
            values[name] = _convert(hints[name], mapping[name], place, field.metadata)
        elif field.default is _MISSING and field.default_factory is _MISSING:
            raise Refusal("{}: missing; expected {}".format(place, _type_name(hints[name])))
    try:
        return cls(**values)
    except (Refusal, ValueError) as error:  # the class's own checks know the key but not the file
        raise Refusal("{}: {}".format(where, error)) from None


def recipe_digest(*parts):
    """SHA-256 of parameters and recipes (dataclasses or plain values), as 64 hex digits."""
    plain = [dataclasses.asdict(part) if dataclasses.is_dataclass(part) else part for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode("utf-8")).hexdigest()


def _convert(hint, value, where, limits):
    origin, arguments = getattr(hint, "__origin__", None), getattr(hint, "__args__", ())
    if origin is typing.Union:
        if value is None and type(None) in arguments:
            return None
        return _convert([kind for kind in arguments if kind is not type(None)][0], value, where, limits)
    if origin in (tuple, typing.Tuple):
        return _convert_tuple(arguments, value, where, limits)
    if dataclasses.is_dataclass(hint):
        return from_mapping(hint, value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        found = _show(value) + _number_instead(hint, value)
        raise Refusal("{}: expected {}, found {}".format(where, _type_name(hint), found))
    _check(value, where, limits)
    return value


def _number_instead(hint, value):
    """What to write where YAML took for text, such as 1e-3 or what has quotes, what is a number of the type
    `hint`; else nothing."""
    try:
        number = float(value) if isinstance(value, str) and hint in (int, float) else math.nan
    except ValueError:
        return ""
    if hint is int:
        return ": write {:d}, without quotes".format(int(number)) if _is_whole(number) else ""
    if not math.isfinite(number):
        return ""
    text = repr(number) if "." in repr(number) else repr(number).replace("e", ".0e")
    return ": write {}, without quotes; powers of ten as 1.0e-3, with point and sign (YAML 1.1)".format(text)


def _is_whole(number):
    return number.is_integer() and abs(number) < 2**53


def _convert_tuple(arguments, value, where, limits):
    if not isinstance(value, (list, tuple)):
        raise Refusal("{}: expected a list, found {}".format(where, _show(value)))
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        kinds = [arguments[0]] * len(value)
    else:
        kinds = list(arguments)
        if len(value) != len(kinds):
            raise Refusal("{}: expected {} entries, found {}".format(where, len(kinds), len(value)))
    return tuple(
        _convert(kind, entry, "{}[{}]".format(where, i), limits)
        for i, (kind, entry) in enumerate(zip(kinds, value))
    )


def _check(value, where, limits):
    low, high, choices = (limits.get(name) for name in ("low", "high", "choices"))
    if choices is not None and value not in choices:
        raise Refusal(
            "{}: expected one of {}, found {}".format(
                where, ", ".join(str(choice) for choice in choices), _show(value)
            )
        )
    if isinstance(value, float) and value != value:
        raise Refusal("{}: expected a number, found NaN".format(where))
    if (low is not None and value < low) or (high is not None and value > high):
        raise Refusal(
            "{}: expected {} to {}, found {}".format(
                where, "-∞" if low is None else low, "∞" if high is None else high, _show(value)
            )
        )


def _type_name(hint):
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(hint, str(hint))


def _show(value):
    text = brief(value)
    return text if len(text) <= 60 else text[:57] + "..."
