"""The command line `encore`."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback

from checks.commands import app
from encore.runtime.outside_fault import advice
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
    "audit",
    "dockerfiles",
    "digests",
    "links",
    "forecast",
    "crate",
)
"""In the order in which `encore --help` lists them."""

FAULT, INTERRUPTED, NOBODY_READS = 3, 130, 141

for _name in COMMANDS:
    importlib.import_module(f"checks.commands.{_name}")


def main(arguments=None):
    """Run one command and end with its status.

    0 and 1 are the command's own answers; 2: refused, one line on stderr says why; 3: a fault of Encore's
    own, or of the machine, never to be taken for a claim that deviates (ENCORE_DEBUG=1 shows where); 130:
    interrupted; 141: nobody reads on.
    """
    try:
        _run(arguments)
    except Refusal as refusal:
        print(f"encore: {refusal}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _close_output()
        sys.exit(NOBODY_READS)
    except Exception as error:
        if os.environ.get("ENCORE_DEBUG") == "1":
            traceback.print_exc()
        line = advice(error) or f"internal fault: {_said(error)}; please report it"
        print(f"encore: {line}", file=sys.stderr)
        sys.exit(FAULT)


def _run(arguments):
    try:
        app(args=arguments, prog_name="encore")
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # typer makes 1 of it
            raise end.__context__ from None
        sys.stdout.flush()
        raise


def _close_output():
    """Let nothing be written any more, also not when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _said(error):
    """An exception in one line, with the place in the code that it came from."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split()) or "no more is known"
    return f"{type(error).__name__}: {text:.300} ({os.path.basename(place.filename)}:{place.lineno})"
