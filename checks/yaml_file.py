"""A YAML file of the user's, or a refusal that names it."""

from __future__ import annotations

from pathlib import Path

import yaml

from encore.runtime.refusal import Refusal

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C, eight times as fast, where PyYAML has it: a pipeline's file is read once for each claim."""


def read_yaml(path, missing):
    """What the YAML file `path` holds; raises Refusal for one that is not YAML, or not there (`missing`
    says what it would be)."""
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), LOADER)
    except FileNotFoundError:
        raise Refusal(f"{path}: {missing}") from None
    except yaml.YAMLError as error:
        raise Refusal(f"{path}: not YAML: {' '.join(str(error).split())}") from None


def written_at(path):
    """What changes when a file is written anew: what is read of it may be kept as long as this is the same;
    None without a file."""
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
