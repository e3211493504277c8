"""What the measured growth adds to a stage's row: seconds of the machinery, memory, objects, an interval."""

from __future__ import annotations

import dataclasses

from checks.forecast.curves import MOST_DECADES

FILES_A_SHARD = 2
"""The tar and its index."""
FILES_OF_A_DATA_SET = 3
"""Manifest, list of rejected pictures, and the folder, which DVC counts as one."""


def data_set_objects(entries, entries_a_shard, sets=1):
    """DVC objects of `sets` data sets of so many entries each."""
    return sets * (FILES_A_SHARD * -(-entries // entries_a_shard) + FILES_OF_A_DATA_SET)


def with_seconds(row, parts):
    """The Row with the seconds of [(Curve or None, n, how often, processes at a time)] added to its hours,
    and the interval of their fits.

    A row without hours stays so; a curve that does not reach n leaves none.
    """
    hours, said = row.hours, []
    low, high = (row.hours if end is None else end for end in (row.low, row.high))
    for curve, n, times, processes in parts:
        if curve is None or hours is None:
            continue
        said.append(curve.source)
        found = curve.at(n)
        if found is None:
            hours = low = high = None
            said[-1] += f": no hours, {n:,} is more than {MOST_DECADES:g} decades above what was measured"
            continue
        added = found.times(times / max(1, processes) / 3600)
        hours, low, high = hours + added.value, low + added.low, high + added.high
        said[-1] += _beyond(found)
    if not said:
        return row
    basis = "; ".join([row.basis, *dict.fromkeys(said)])
    return dataclasses.replace(row, hours=hours, low=low, high=high, basis=basis)


def with_memory(row, curve, n, processes=1):
    """The Row with the peak memory of so many processes that hold n entries each, in gigabytes."""
    found = None if curve is None else curve.at(n)
    if found is None:
        return row
    basis = f"{row.basis}; memory {curve.source}{_beyond(found)}"
    return dataclasses.replace(row, memory=processes * found.high / 1e9, basis=basis)


def with_objects(row, objects):
    """The Row with the number of its DVC objects."""
    return dataclasses.replace(row, objects=objects)


def _beyond(estimate):
    return f" (extrapolated {estimate.beyond:.1f} decades)" if estimate.beyond > 0 else ""
