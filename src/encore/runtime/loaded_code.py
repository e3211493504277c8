"""The code that this process has loaded: first-party files by content, numerical libraries by version."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import NamedTuple

from encore.runtime.atomic import file_digest
from encore.runtime.fingerprint import LIBRARIES

FIRST_PARTY = ("encore", "stages")


class LoadedCode(NamedTuple):
    """What two processes must share to give the same results."""

    python: tuple
    """(major, minor)"""
    files: dict
    """Module name -> SHA-256 of its file, of first-party modules."""
    versions: dict
    """Module name -> version, of numerical libraries."""


def loaded_code():
    """The LoadedCode of this process; the program itself counts under its module name."""
    modules = dict(sys.modules)
    main = getattr(modules.get("__main__"), "__spec__", None)
    if main is not None:
        modules[main.name] = modules["__main__"]
    files, versions = {}, {}
    for name, module in modules.items():
        path = getattr(module, "__file__", None)
        if name.split(".")[0] in FIRST_PARTY and path:
            files[name] = file_digest(path)
        elif name in LIBRARIES:
            versions[name] = str(getattr(module, "__version__", ""))
    return LoadedCode(tuple(sys.version_info[:2]), files, versions)


def difference(expected):
    """What this process would load otherwise than LoadedCode says, in words; None where nothing."""
    if tuple(sys.version_info[:2]) != tuple(expected.python):
        return "Python is {}.{}, not {}.{}".format(*(tuple(sys.version_info[:2]) + tuple(expected.python)))
    for name, version in sorted(expected.versions.items()):
        found = _version(name)
        if found != version:
            return "{} is {}, not {}".format(name, found, version)
    for name, digest in sorted(expected.files.items()):
        path = _file(name)
        if path is None:
            return "the module {} is missing".format(name)
        if file_digest(path) != digest:
            return "{} has another content".format(path)
    return None


def import_folders():
    """The folders that the first-party packages of this process are imported from, absolute."""
    found = []
    for name in FIRST_PARTY:
        module = sys.modules.get(name)
        for path in getattr(module, "__path__", ()):
            folder = os.path.dirname(os.path.abspath(path))
            if folder not in found:
                found.append(folder)
    return found


def _version(name):
    try:
        return str(getattr(importlib.import_module(name), "__version__", ""))
    except ImportError:
        return "missing"


def _file(name):
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return None if spec is None else spec.origin
