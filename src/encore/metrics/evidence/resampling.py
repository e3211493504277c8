"""Bootstrap: how often each of n units (queries, persons, pictures) is drawn, n times with replacement."""

from __future__ import annotations

import numpy as np

AT_ONCE = 1 << 22
"""Numbers held at a time."""


def resampled(units, draws, seed):
    """Yield int64 (units,), `draws` times: the units that one draw takes.

    The same for the same three numbers: files about the same queries are drawn alike, and a difference of
    theirs is a paired one.
    """
    stream = np.random.RandomState(seed)
    for _ in range(draws):
        yield stream.randint(0, units, units)


def multiplicities(units, draws, seed, numbers=None):
    """Yield int32 (d, units), `draws` rows in all: how often each unit is in a draw.

    numbers: how many the caller holds for a row (default: `units`), by which d is chosen.
    """
    at_once = max(1, AT_ONCE // max(units, numbers or 0, 1))
    rows = []
    for number, drawn in enumerate(resampled(units, draws, seed), 1):
        rows.append(np.bincount(drawn, minlength=units).astype(np.int32))
        if len(rows) == at_once or number == draws:
            yield np.stack(rows)
            rows = []


def drawn_values(units, draws, seed, values_of, numbers=None):
    """{key: float64 (draws,)} of a function from multiplicities (d, units) to {key: (d,)}."""
    parts = [values_of(counts) for counts in multiplicities(units, draws, seed, numbers)]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def weighted_mean(counts, values, kept=None):
    """float64 (d,): the mean of `values` (n,) over units that count `counts` (d, n); NaN where none counts.

    kept: bool (n,), which units take part.
    """
    kept = np.ones(len(values), dtype=bool) if kept is None else kept
    taken = counts[:, kept].astype(np.float64)
    return quotient(taken.dot(np.asarray(values, dtype=np.float64)[kept]), taken.sum(axis=1))


def quotient(over, under):
    """`over` / `under` in float64, NaN where `under` is 0."""
    over, under = np.broadcast_arrays(np.asarray(over, np.float64), np.asarray(under, np.float64))
    return np.divide(over, under, out=np.full(over.shape, np.nan), where=under > 0)
