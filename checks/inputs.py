"""`inputs.yaml`: the raw data that a size starts from, and where each set comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from checks.fields import read_fields
from checks.yaml_file import read_yaml
from encore.runtime.refusal import Refusal


@dataclass(frozen=True)
class Input:
    """One raw data set.

    `path` is relative to the size folder: a folder, one file, or `photos.tar#train` for the members below
    `train/`. `used_by` is the family of systems that starts from it. `first` and `last` are file names in
    string order (None: not known); `source` says where to get it, `place` where to put it; `sha256` (of a
    file or tar) is checked where a digest is known.
    """

    path: str
    used_by: str
    count: int
    first: str | None
    last: str | None
    licence: str
    source: str
    place: str
    sha256: str | None = None


def read_inputs(path):
    """{data set: Input} of an inputs.yaml, in its order; raises Refusal naming file and key."""
    path = Path(path)
    value = read_yaml(path, "no such file: it lists the raw data of this size")
    if not isinstance(value, dict) or not value:
        raise Refusal(f"{path}: expected a mapping from data set to its description")
    inputs = {name: read_fields(Input, row, f"{path}: {name}") for name, row in value.items()}
    for name, entry in inputs.items():
        if entry.count < 1:
            raise Refusal(f"{path}: {name}.count: expected 1 or more, found {entry.count}")
    return inputs
