"""Names of files within a data set, as others wrote them down."""

from __future__ import annotations

from encore.runtime.refusal import Refusal


def leads_inside(name):
    """Whether `name` (str, / between folders) stays below the folder that it is relative to: none that
    begins at the root, climbs by "..", holds a zero byte or says nothing."""
    return bool(name) and not name.startswith("/") and "\0" not in name and ".." not in name.split("/")


def is_file_name(name):
    """Whether `name` is the name of a file in one folder, and no path."""
    return leads_inside(name) and "/" not in name and name != "."


def refuse_outside(path, names):
    """Raise Refusal, naming the file `path` that holds them, for a name that leads out of its folder."""
    for name in names:
        if not leads_inside(name):
            raise Refusal(
                "{}: the name {!r} leads out of its folder: do not use this file unless you know who made "
                "it".format(path, name[:200])
            )
