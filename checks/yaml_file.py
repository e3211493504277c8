"""A YAML file of the user's, or a refusal that names it."""

from __future__ import annotations

from pathlib import Path

import yaml

from encore.runtime.refusal import Refusal
from encore.runtime.yaml_limits import BAD_VALUE, read_yaml_text

BASE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C, eight times as fast, where PyYAML has it: a pipeline's file is read once for each claim."""


class _Twice(yaml.YAMLError):
    """A mapping with a key that stands there twice."""

    def __init__(self, first, second):
        super().__init__(
            f"{second.value}: this key is there twice (lines {first.start_mark.line + 1} and "
            f"{second.start_mark.line + 1}): keep one"
        )


class Loader(BASE):
    """PyYAML takes the last of two equal keys and says nothing."""

    def flatten_mapping(self, node):
        if not hasattr(node, "seen"):  # before what `<<` merges into it, which it may replace
            node.seen = True
            _refuse_twice([key for key, _ in node.value])
        super().flatten_mapping(node)


def _refuse_twice(keys):
    keys = [key for key in keys if isinstance(key, yaml.ScalarNode)]
    if len({key.value for key in keys}) == len(keys):
        return
    known = {}
    for key in keys:
        first = known.setdefault((key.tag, key.value), key)
        if first is not key:
            raise _Twice(first, key)


def read_yaml(path, missing):
    """What the YAML file `path` holds; raises Refusal for one that is not YAML, cannot be read or says a key
    twice, or is not there (`missing` says what it would be)."""
    try:
        return yaml.load(read_yaml_text(path, BASE), Loader)
    except FileNotFoundError:
        raise Refusal(f"{path}: {missing}") from None
    except OSError as error:
        raise Refusal(f"{path}: cannot be read ({error.strerror}): expected a YAML file") from None
    except UnicodeDecodeError as error:
        raise Refusal(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}): restore it") from None
    except _Twice as error:
        raise Refusal(f"{path}: {error}") from None
    except yaml.YAMLError as error:
        raise Refusal(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except BAD_VALUE as error:
        raise Refusal(f"{path}: not YAML: {type(error).__name__}: {' '.join(str(error).split())}") from None


def written_at(path):
    """What changes when a file is written anew: what is read of it may be kept as long as this is the same;
    None without a file."""
    try:
        found = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
