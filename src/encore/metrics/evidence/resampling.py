"""Bootstrap: how often each of n units (queries, persons, pictures) is drawn, n times with replacement."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

AT_ONCE = 1 << 22
"""Numbers held at a time."""


class Pool(NamedTuple):
    """What is drawn from where evidence is about some of it only: `count` units, of which its own, in their
    order, are those at `places`, int64 (n,)."""

    count: int
    places: np.ndarray

    @classmethod
    def own(cls, count):
        """The units of one evidence, no others beside them."""
        return cls(count, np.arange(count))

    @classmethod
    def pair(cls, units, others):
        """(Pool, Pool) of two evidences by the names of their units, lists: what either is about is drawn
        once for both, so that their difference is a paired one.

        Lists that are equal make the pools that each has alone.
        """
        place = {name: place for place, name in enumerate(sorted(set(units).union(others)))}
        return tuple(
            cls(len(place), np.array([place[name] for name in side], dtype=np.int64))
            for side in (units, others)
        )


def resampled(units, draws, seed):
    """Yield int64 (units,), `draws` times: the units that one draw takes; the same for the same three
    numbers."""
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


def drawn_values(pool, draws, seed, values_of, numbers=None):
    """{key: float64 (draws,)} of a function from the multiplicities (d, n) of the pool's places to {key:
    (d,)}."""
    drawn = multiplicities(pool.count, draws, seed, numbers)
    parts = [values_of(counts[:, pool.places]) for counts in drawn]
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
