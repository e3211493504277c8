"""How many identities a data set has: class-balanced batches are counted by them."""

from __future__ import annotations

import re

from checks.raw_data.listing import list_files
from checks.raw_data.names import NamePattern


def identities_of(folder, entry):
    """Identities of an Input of the size in `folder`: as inputs.yaml states them (`groups`), else as the
    names of its pictures have them, where these are there; None: not known."""
    if entry.groups is not None:
        return entry.groups
    listing = list_files(f"{folder}/{entry.path}", digest=False)
    if listing is None:
        return None
    expressions = [re.compile(NamePattern.of(text, entry.path).expression()[0]) for text in entry.names]
    matches = (expression.fullmatch(name) for name in listing.names for expression in expressions)
    return len({match["group"] for match in matches if match and "group" in match.groupdict()}) or None
