"""What an environment is made of: `locks/environments.yaml` and the lock it names."""

from __future__ import annotations

import os
import re
from typing import NamedTuple, Optional, Tuple

from encore.runtime.refusal import Refusal

LOCKS = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))), "locks"
)
LINE = re.compile(r"  (\w+): (.+)$")
PIN = re.compile(r"([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)\s*(?:;([^\\]*))?")


class Definition(NamedTuple):
    """One environment; an empty value means that any will do."""

    name: str
    lock: str
    """File name of the complete lock, in `locks/`."""
    python: Tuple[str, ...]
    cuda: str = ""
    cudnn: str = ""
    gpu: Tuple[str, ...] = ()
    capability: Tuple[str, ...] = ()
    compiled: Tuple[str, ...] = ()
    driver: str = ""


class Pin(NamedTuple):
    """One library of a lock."""

    name: str
    """Normalised: lower case, hyphens."""
    version: str
    marker: Optional[str]
    """Condition on the interpreter, None for none."""


def definitions():
    """All environments, name -> Definition, in the order of the file."""
    path = os.path.join(LOCKS, "environments.yaml")
    found, values = {}, None
    for number, line in enumerate(_lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        pair = LINE.match(line)
        if pair and values is not None:
            values[pair.group(1)] = _value(pair.group(2))
        elif re.match(r"[\w-]+:$", line):
            values = found[line[:-1]] = {}
        else:
            raise Refusal("{}: line {}: expected `name:` or `  key: value`".format(path, number))
    return {name: _definition(path, name, values) for name, values in found.items()}


def definition(name):
    """The Definition of one environment; Refusal for an unknown name, listing the known ones."""
    known = definitions()
    if name not in known:
        raise Refusal("{}: no such environment; there are {}".format(name, ", ".join(known)))
    return known[name]


def pins(lock):
    """The libraries that a lock file of `locks/` pins."""
    found = (PIN.match(line) for line in _lines(os.path.join(LOCKS, lock)))
    return [
        Pin(normalised(pin.group(1)), pin.group(2), (pin.group(3) or "").strip() or None)
        for pin in found
        if pin
    ]


def stated(lock):
    """The names in the input of a lock: what was asked for, the rest of the lock came with it."""
    names = set()
    for line in _lines(os.path.join(LOCKS, os.path.splitext(lock)[0] + ".in")):
        if line.startswith("-r "):
            names |= stated(line[3:].strip())
        elif re.match("[A-Za-z0-9]", line):
            names.add(normalised(re.match(r"[\w.-]+", line).group()))
    return names


def normalised(name):
    """The name of a distribution as indexes compare it."""
    return re.sub("[-_.]+", "-", name).lower()


def _definition(path, name, values):
    try:
        return Definition(name=name, **values)
    except TypeError as error:
        raise Refusal("{}: {}: {}".format(path, name, error)) from None


def _value(text):
    if text.startswith("[") and text.endswith("]"):
        return tuple(part.strip().strip('"') for part in text[1:-1].split(","))
    return text.strip().strip('"')


def _lines(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        raise Refusal("{}: missing: it belongs to the project, take it from there".format(path)) from None
