"""Which of several outputs count in a step's loss."""

from __future__ import annotations


def kept_branches(branches, dropped, rng):
    """Indices of the outputs that count, ascending, of `branches` outputs with `dropped` draws with
    replacement of those that do not (state H's random_drop_branchs).

    rng: numpy.random.RandomState. Where all are drawn one at random counts. Published quirk: one more number
    is drawn first and not used; with `dropped` = 0 nothing is drawn.
    """
    if not dropped:
        return list(range(branches))
    rng.randint(0, branches)
    erased = {int(rng.randint(0, branches)) for _ in range(dropped)}
    kept = [branch for branch in range(branches) if branch not in erased]
    return kept or [int(rng.randint(0, branches))]
