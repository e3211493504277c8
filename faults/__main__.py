"""`make faults`: inject faults into every system, print what was survived, keep it in faults/results.json.

    python -m faults [--short] [SUITE ...]

--short takes the few faults that `make test` takes too, and keeps nothing. Exit status 1 when anything was
lost.
"""

from __future__ import annotations

import argparse
import sys
import time

from rich.console import Console

from encore.runtime.refusal import Refusal
from faults.results import RESULTS, keep, suite_record
from faults.suites import SUITES, run_suite, run_suites
from faults.table import table


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__.splitlines()[0])
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"any of {', '.join(SUITES)} (default: all)"
    )
    parser.add_argument("--short", action="store_true", help="few faults, in a minute or two; keeps nothing")
    given = parser.parse_args(arguments)
    for name in given.suites:
        if name not in SUITES:
            raise Refusal(f"{name}: no such suite; there are {', '.join(SUITES)}")
    console, began, rows = Console(), time.monotonic(), []
    suites = run_suites(
        given.suites or SUITES,
        not given.short,
        lambda name: console.print(f"{name} …", highlight=False),
        lambda row: _show(console, row),
        run_suite,
    )
    for name, found, seconds in suites:
        rows += found
        if not given.short:
            keep({name: suite_record(found, seconds)})
    console.print(table(rows, time.monotonic() - began))
    for row in rows:
        for loss in row.losses:
            text = f"lost: {row.suite}, {row.place}, {row.kind}: {loss}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
    if not given.short:
        console.print(f"written to {RESULTS}", highlight=False)
    return 1 if any(row.lost for row in rows) else 0


def _show(console, row):
    state = f"skipped: {row.skipped}" if row.skipped else f"{row.survived} of {row.injected} survived"
    text = f"  {row.place}: {row.kind}: {state}, {row.seconds:.1f} s"
    console.print(text, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Refusal as refusal:
        print(f"encore: {refusal}", file=sys.stderr)
        sys.exit(2)
