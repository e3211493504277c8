"""The command line `encore`."""

from __future__ import annotations

import importlib
import sys

from checks.commands import app
from encore.runtime.refusal import Refusal

COMMANDS = (
    "doctor",
    "status",
    "data",
    "counts",
    "verify",
    "compare",
    "reference",
    "report",
    "match",
    "dependencies",
    "recipe",
    "calibrate",
    "environment",
    "locks",
    "dockerfiles",
    "digests",
    "links",
    "forecast",
    "crate",
)
"""In the order in which `encore --help` lists them."""

for _name in COMMANDS:
    importlib.import_module(f"checks.commands.{_name}")


def main(arguments=None):
    """Run one command; a refusal is printed without a traceback and ends with status 2."""
    try:
        app(args=arguments, prog_name="encore")
    except Refusal as refusal:
        print(f"encore: {refusal}", file=sys.stderr)
        sys.exit(2)
