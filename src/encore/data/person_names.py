"""Identity and camera from the file name of a person's picture, as each data set writes them."""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple

from encore.runtime.refusal import Refusal

JUNK = -1
"""Label of detections that are neither hit nor miss (Market-1501: a name that starts with -1)."""
CUHK03_IDENTITIES = 10000
"""Labels that a CUHK03 camera pair has for itself: pair 2, identity 15 is 20015."""


class PersonName(NamedTuple):
    """What a name says."""

    label: int
    camera: int


class _Rule(NamedTuple):
    pattern: "re.Pattern"
    """Groups `identity` (its text, by which folders of a training set are named) and `camera`."""
    example: str


_RULES = {
    # Published: the first four characters, or -1 for all that starts so; the digit after the first letter c.
    "market": _Rule(
        re.compile(r"(?P<identity>-1|[0-9]{4})[^c]*c(?P<camera>[0-9])"), "0002_c1s1_000451_03.jpg"
    ),
    "duke": _Rule(re.compile(r"(?P<identity>-1|[0-9]{4})_c(?P<camera>[0-9]{1,9})_f"), "0001_c2_f0046182.jpg"),
    "cuhk03": _Rule(
        re.compile(r"(?P<identity>[0-9]{1,9}_[0-9]{1,4})_(?P<camera>[0-9]{1,9})_[0-9]+\."),
        "1_001_1_01.png",
    ),
    "msmt": _Rule(
        re.compile(r"(?P<identity>[0-9]{1,9})_[^_]*_(?P<camera>[0-9]{1,9})_"),
        "0000_000_01_0303morning_0015_0.jpg",
    ),
}

NAMINGS = tuple(sorted(_RULES))
"""The namings there are: CUHK03 is camera pair, identity within it, camera, number of the picture."""


def parse(name, naming):
    """Label and camera of the file `name` (a path will do) by the rule of `naming`, one of NAMINGS.

    Names are those of Market-1501, DukeMTMC-reID, CUHK03 (detected) and MSMT17. Raises Refusal with the name
    when it does not follow the rule.
    """
    identity, camera = _fields(name, naming)
    if naming == "cuhk03":
        pair, within = identity.split("_")
        return PersonName(int(pair) * CUHK03_IDENTITIES + int(within), int(camera))
    return PersonName(JUNK if identity == "-1" else int(identity), int(camera))


def identity_text(name, naming):
    """The part of `name` that says who it is, as it is written: "0002", "-1", of CUHK03 "1_001"."""
    return _fields(name, naming)[0]


def _fields(name, naming):
    if naming not in _RULES:
        raise Refusal(
            "naming {!r}: expected one of {}: choose the one your file names follow".format(
                naming, ", ".join(NAMINGS)
            )
        )
    rule = _RULES[naming]
    found = rule.pattern.match(posixpath.basename(name))
    if found is None:
        raise Refusal(
            "{}: expected a name like {} (naming {}), this one does not parse: rename it, take it out, or "
            "set naming to one of {}".format(name, rule.example, naming, ", ".join(NAMINGS))
        )
    return found.group("identity"), found.group("camera")
