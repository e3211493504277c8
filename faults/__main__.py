"""`make faults`: inject faults into every system, print what was survived, keep it in faults/results.json.

    python -m faults [--short] [SUITE ...]

--short takes the few faults that `make test` takes too, and keeps nothing. Exit status 1 when anything was
lost.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from rich.console import Console

from encore.runtime.refusal import Refusal
from faults.results import RESULTS, keep, suite_record
from faults.table import table

SUITES = ("kill", "hostile", "numerical", "processes", "cluster", "storage")
"""What each proves stands at the head of faults/<suite>/__init__.py."""
TOGETHER = ("hostile", "numerical", "storage")
"""Suites that keep one core busy: two of them at a time, each in a process of its own."""


def run_suite(name, full, show=None):
    """Run one suite -> (its rows, seconds); show: called with each Row as it comes."""
    began = time.monotonic()
    rows = []
    for row in importlib.import_module(f"faults.{name}").rows(full):
        rows.append(row)
        if show is not None:
            show(row)
    return rows, time.monotonic() - began


def run_suites(names, full, begin, show, run):
    """Run suites by `run` -> (name, rows, seconds) of each as it ends; begin: called with what starts."""
    together = [name for name in names if name in TOGETHER]
    if len(together) < 2:
        together = []
    for name in names:
        if name not in together:
            begin(name)
            yield (name, *run(name, full, show))
    if not together:
        return
    begin(" and ".join(together))
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, fresh, max_tasks_per_child=1) as pool:
        running = {pool.submit(run, name, full): name for name in together}
        for future in as_completed(running):
            rows, seconds = future.result()
            for row in rows:
                show(row)
            yield running[future], rows, seconds


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
