"""The fault suites, run one after the other or two at a time."""

from __future__ import annotations

import importlib
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

SUITES = ("kill", "hostile", "numerical", "processes", "cluster", "storage")
"""What each proves stands at the head of faults/<suite>/__init__.py."""
TOGETHER = ("hostile", "cluster", "storage", "numerical")
"""Suites that leave a core idle, the longest first: two of them at a time, each in a process of its own."""


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
    together = [name for name in TOGETHER if name in names]
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
