"""`inputs.yaml`: the raw data that a size starts from, and where each set comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from checks.fields import read_fields
from checks.raw_data.names import NamePattern
from checks.yaml_file import read_yaml
from encore.runtime.refusal import Refusal

ACCESS = ("open", "registration", "agreement")


@dataclass(frozen=True)
class Input:
    """One raw data set; None stands for what nobody has published.

    `path` is relative to the size folder: a folder, one file, or `photos.tar#train` for the members below
    `train/`. `used_by` is the family of systems that starts from it, None for a set that no stage needs: it
    is checked where it is there, and may be absent. `names` holds the patterns that every file name fits
    (`raw_data.names`), `classes` the file that lists what `{class}` in them stands for, `groups` how many
    classes or identities there are, `per_group` the fewest and the most files of one. `first` and `last` are
    file names in string order. `source` says where to get it, `access` what that takes, `place` where to put
    it; `sha256` (of a file or tar) is checked where a digest is known.
    """

    path: str
    used_by: str | None
    count: int | None
    first: str | None
    last: str | None
    licence: str | None
    source: str
    place: str
    sha256: str | None = None
    access: str | None = "open"
    names: tuple[str, ...] = ()
    classes: str | None = None
    groups: int | None = None
    per_group: tuple[int, ...] = ()


def read_inputs(path):
    """{data set: Input} of an inputs.yaml, in its order; raises Refusal naming file and key."""
    path = Path(path)
    value = read_yaml(path, "no such file: it lists the raw data of this size")
    if not isinstance(value, dict) or not value:
        raise Refusal(f"{path}: expected a mapping from data set to its description")
    inputs = {name: read_fields(Input, row, f"{path}: {name}") for name, row in value.items()}
    for name, entry in inputs.items():
        _check(f"{path}: {name}", entry)
    return inputs


def _check(where, entry):
    """Raise Refusal for values that contradict each other or mean nothing."""
    if entry.count is not None and entry.count < 1:
        raise Refusal(f"{where}.count: expected 1 or more, found {entry.count}")
    if entry.access not in (None, *ACCESS):
        raise Refusal(f"{where}.access: expected {', '.join(ACCESS)} or null, found {entry.access}")
    if len(entry.per_group) not in (0, 2):
        raise Refusal(f"{where}.per_group: expected the fewest and the most, found {list(entry.per_group)}")
    patterns = [NamePattern.of(text, f"{where}.names[{i}]") for i, text in enumerate(entry.names)]
    if any(pattern.needs_classes for pattern in patterns) != (entry.classes is not None):
        raise Refusal(f"{where}.classes: expected the file that lists what `class` in names stands for")
    counts = [pattern.count for pattern in patterns]
    if counts and None not in counts and sum(counts) != entry.count:
        raise Refusal(f"{where}.count: the names are {sum(counts):,}, found {entry.count}")
