"""A file of JSON that holds one object, with each key once and finite numbers."""

from __future__ import annotations

import json
import math
import os

from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal, brief

LARGEST = 1 << 20
"""Bytes: 1 MiB, a hundred times a params.json."""


def read_json(path):
    """The object of keys and values in a JSON file; Refusal naming the file for anything else, for a key that
    stands twice in a block and for a number that is not finite."""
    try:
        mapping = read_json_file(os.fspath(path), LARGEST, _without_duplicates)
        refuse_no_object(mapping)
        return mapping
    except json.JSONDecodeError as error:
        raise Refusal(
            "{}: not valid JSON: {} (line {}, column {}): mend it".format(
                path, error.msg, error.lineno, error.colno
            )
        ) from None
    except (OSError, ValueError) as error:
        raise Refusal(
            "{}: cannot be read as JSON ({}): mend the path or the file".format(path, error)
        ) from None
    except Refusal as error:
        text = str(error)
        raise Refusal(text if text.startswith(str(path)) else "{}: {}".format(path, text)) from None


def refuse_no_object(mapping):
    """Refusal for what is no dict, and for a number in it that is not finite."""
    if not isinstance(mapping, dict):
        raise Refusal("expected an object of keys and values, found {:.60}".format(brief(mapping)))
    try:
        _refuse_infinite(mapping, "")
    except Refusal as error:
        raise Refusal(str(error).lstrip(".")) from None


def _refuse_infinite(value, path):
    if isinstance(value, float) and not math.isfinite(value):
        raise Refusal("{}: expected a finite number, found {}".format(path, value))
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, entry in entries:
        _refuse_infinite(entry, "{}.{}".format(path, name))


def _without_duplicates(pairs):
    values = {}
    for name, value in pairs:
        if name in values:
            raise Refusal("the key {!r} stands twice in one block: leave one out".format(name))
        values[name] = value
    return values
