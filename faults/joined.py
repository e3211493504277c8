"""A suite that is made of the modules of its folder."""

from __future__ import annotations

import importlib
import pkgutil


def joined_rows(package, path, full):
    """Yield the Rows of each module of a package that has `rows(full)`, in the order of their names."""
    for found in sorted(pkgutil.iter_modules(path), key=lambda module: module.name):
        module = importlib.import_module(f"{package}.{found.name}")
        if hasattr(module, "rows"):
            yield from module.rows(full)
