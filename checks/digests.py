"""`encore digests`: does a run in a pinned environment generate the pictures that are on record for it?

`digests.yaml` of a size holds, for each environment, the digest of every generated data set. Pictures belong
to the libraries that draw and encode them, so each environment has its own; within one they are the same on
every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

from ruamel.yaml import YAML

from encore.data.manifest import Manifest
from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal

HEAD = "# Digests of the generated data sets by environment; written by `encore digests --record`.\n"


@dataclass(frozen=True)
class Digest:
    """One data set: the digest on record (None: none) and the one found (None: not generated here)."""

    data_set: str
    recorded: str | None
    found: str | None

    @property
    def holds(self):
        return self.recorded is not None and self.recorded == self.found


def compare_digests(size, environment, names=()):
    """[Digest]: those on record for `environment` (or only `names`) against the manifests in size/data.

    Raises Refusal for an environment without a record, and for a name that is not in it.
    """
    records = read_digests(size)
    if environment not in records:
        known = ", ".join(sorted(records)) or "none"
        raise Refusal(f"{size / 'digests.yaml'}: {environment}: no digests on record; there are: {known}")
    record = records[environment]
    for name in names:
        if name not in record:
            raise Refusal(f"{size / 'digests.yaml'}: {environment}: {name}: no such data set on record")
    found = _found(size)
    return [Digest(name, record[name], found.get(name)) for name in names or sorted(record)]


def record_digests(size, environment):
    """Write the digests of every data set in size/data as those of `environment`; returns them."""
    found = _found(size)
    if not found:
        raise Refusal(f"{size / 'data'}: no data set there: run the stages that generate them first")
    records = read_digests(size)
    records[environment] = found
    yaml = YAML()
    with replacing(size / "digests.yaml", "w") as file:
        file.write(HEAD)
        yaml.dump({name: dict(sorted(records[name].items())) for name in sorted(records)}, file)
    return found


def read_digests(size):
    """{environment: {data set: digest}} on record; {} where there is no digests.yaml."""
    path = size / "digests.yaml"
    if not path.is_file():
        return {}
    return YAML(typ="safe").load(path.read_text(encoding="utf-8")) or {}


def _found(size):
    folders = sorted(path.parent for path in (size / "data").glob("*/manifest.json"))
    return {folder.name: Manifest.read(folder).digest for folder in folders}
