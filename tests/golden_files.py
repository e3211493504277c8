"""Where the outputs of the published code are."""

from __future__ import annotations

import pathlib

FOLDER = pathlib.Path(__file__).parent / "golden"


def golden(name):
    """The path of the file `name` ("isc/metrics.json") in tests/golden; raises FileNotFoundError if it is
    missing."""
    path = FOLDER / name
    if not path.is_file():
        raise FileNotFoundError("expected an output of the published code at {}".format(path))
    return path
